//! One entry of `spec.metrics`: how many pods it asks for, and what it looks like now.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus, ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource;
use machinery::Quantity;
use machinery::quantity::Format;

use super::calculate::{Facts, Goal, Proposal, Tolerances, propose};
use super::pods;
use crate::sampler::Readings;

/// What all metrics of an autoscaler are judged by.
pub struct Context<'a> {
    pub replicas: i32,
    pub pods: &'a [Arc<Pod>],
    pub readings: &'a Readings,
    pub tolerances: Tolerances,
    pub now: Timestamp,
}

#[derive(Debug)]
pub struct Evaluated {
    pub replicas: i32,
    /// As reasons of a rescale name it.
    pub name: String,
    pub status: MetricStatus,
}

/// Why a metric gives no count.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// Of the condition and the event.
    pub reason: &'static str,
    pub message: String,
    /// What failed, for the sum of all metrics; may be empty.
    what: String,
}

impl Failed {
    pub fn summary(&self) -> String {
        if self.what.is_empty() { self.message.clone() } else { format!("{}: {}", self.what, self.message) }
    }
}

/// One resource of the pods or of one of their containers.
struct Source<'a> {
    resource: &'a str,
    container: Option<&'a str>,
    target: &'a MetricTarget,
}

pub fn evaluate(spec: &MetricSpec, cx: &Context) -> Result<Evaluated, Failed> {
    if let Some(metric) = &spec.resource {
        let source = Source { resource: &metric.name, container: None, target: &metric.target };
        let (replicas, name, current) = source.evaluate(cx).map_err(|message| Failed {
            reason: "FailedGetResourceMetric",
            message,
            what: format!("failed to get {} resource metric value", metric.name),
        })?;
        let resource = Some(ResourceMetricStatus { name: metric.name.clone(), current });
        let status = MetricStatus { type_: spec.type_.clone(), resource, ..MetricStatus::default() };
        return Ok(Evaluated { replicas, name, status });
    }
    if let Some(metric) = &spec.container_resource {
        let source = Source { resource: &metric.name, container: Some(&metric.container), target: &metric.target };
        let (replicas, name, current) = source.evaluate(cx).map_err(|message| Failed {
            reason: "FailedGetContainerResourceMetric",
            message,
            what: format!("failed to get {} container metric value", metric.container),
        })?;
        let (name_of, container) = (metric.name.clone(), metric.container.clone());
        let container_resource = Some(ContainerResourceMetricStatus { name: name_of, container, current });
        let status = MetricStatus { type_: spec.type_.clone(), container_resource, ..MetricStatus::default() };
        return Ok(Evaluated { replicas, name, status });
    }
    Err(foreign(spec))
}

/// Metrics that an adapter would serve, and none is there.
fn foreign(spec: &MetricSpec) -> Failed {
    let absent = |api: &str, metric: &str| {
        format!(
            "unable to get metric {metric}: unable to fetch metrics from {api} metrics API: no {api} metrics API ({api}.metrics.k8s.io) registered"
        )
    };
    if let Some(metric) = &spec.pods {
        let what = "failed to get pods metric value".to_owned();
        return Failed { reason: "FailedGetPodsMetric", message: absent("custom", &metric.metric.name), what };
    }
    if let Some(metric) = &spec.object {
        let what = "failed to get object metric value".to_owned();
        return Failed { reason: "FailedGetObjectMetric", message: absent("custom", &metric.metric.name), what };
    }
    if let Some(metric) = &spec.external {
        let what = format!("failed to get {} external metric value", metric.metric.name);
        return Failed { reason: "FailedGetExternalMetric", message: absent("external", &metric.metric.name), what };
    }
    let message = format!("unknown metric source type {:?}", spec.type_);
    Failed { reason: "InvalidMetricSourceType", what: String::new(), message }
}

impl Source<'_> {
    fn evaluate(&self, cx: &Context) -> Result<(i32, String, MetricValueStatus), String> {
        let resource = self.resource;
        if let Some(goal) = self.target.average_value.as_ref().and_then(milli) {
            let goal = self.propose(cx, Goal::Average(goal));
            let proposal = goal.map_err(|why| format!("failed to get {resource} usage: {why}"))?;
            return Ok((proposal.replicas, format!("{resource} resource"), current(&proposal)));
        }
        let Some(percent) = self.target.average_utilization else {
            let what = "neither an average utilization target nor an average value (usage) target was set";
            return Err(format!("invalid resource metric source: {what}"));
        };
        let proposal = self.propose(cx, Goal::Utilization { percent, container: self.container });
        let proposal = proposal.map_err(|why| format!("failed to get {resource} utilization: {why}"))?;
        let of = if self.container.is_some() { "container resource" } else { "resource" };
        Ok((proposal.replicas, format!("{resource} {of} utilization (percentage of request)"), current(&proposal)))
    }

    fn propose(&self, cx: &Context, goal: Goal) -> Result<Proposal, String> {
        let metrics = pods::usage(cx.pods, cx.readings, self.resource, self.container)
            .map_err(|why| format!("unable to get metrics for resource {}: {why}", self.resource))?;
        let Context { replicas, pods, tolerances, now, .. } = *cx;
        propose(Facts { replicas, resource: self.resource, pods, metrics, tolerances, now }, goal)
    }
}

fn current(proposal: &Proposal) -> MetricValueStatus {
    let average = Quantity::from_milli(proposal.average.into(), Format::DecimalSi);
    MetricValueStatus {
        average_utilization: proposal.utilization,
        average_value: Some(resource::Quantity(average.to_string())),
        value: None,
    }
}

fn milli(quantity: &resource::Quantity) -> Option<i64> {
    i64::try_from(Quantity::parse(&quantity.0).ok()?.milli_value()).ok()
}
