//! What an autoscaler does next. Pure: it sees a [`View`] and gives a [`Plan`].
//!
//! upstream: pkg/controller/podautoscaler/horizontal.go (reconcileAutoscaler)

use std::sync::Arc;

use control::{ObjectKey, meta};
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus, MetricStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::selector::LabelSelector;

use super::calculate::Tolerances;
use super::conditions::{ABLE_TO_SCALE, SCALING_ACTIVE, SCALING_LIMITED, set};
use super::history::History;
use super::limits::{Wish, allow};
use super::metric::{Context, Failed, evaluate};
use crate::sampler::Readings;

/// Everything a decision rests on.
pub struct View<'a> {
    pub key: &'a ObjectKey,
    pub spec: &'a HorizontalPodAutoscalerSpec,
    pub status: HorizontalPodAutoscalerStatus,
    /// `spec.replicas` of the target's scale.
    pub replicas: i32,
    /// `status.selector` of the target's scale.
    pub selector: &'a str,
    /// Of the namespace.
    pub pods: &'a [Arc<Pod>],
    /// What the other autoscalers of the namespace select.
    pub rivals: &'a [(ObjectKey, LabelSelector)],
    pub readings: &'a Readings,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescale {
    pub from: i32,
    pub to: i32,
    pub reason: String,
}

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub status: HorizontalPodAutoscalerStatus,
    pub rescale: Option<Rescale>,
    /// What the metrics ask for, to be remembered.
    pub recommendation: Option<i32>,
    /// Warnings: reason and message.
    pub events: Vec<(&'static str, String)>,
}

/// What the metrics together ask for.
struct Asked {
    replicas: i32,
    /// The name of the metric that asks for the most.
    metric: String,
}

/// Whether metrics have a say at this size: not while it is zero or out of bounds.
pub fn needs_metrics(spec: &HorizontalPodAutoscalerSpec, replicas: i32) -> bool {
    replicas != 0 && (min(spec)..=spec.max_replicas).contains(&replicas)
}

fn min(spec: &HorizontalPodAutoscalerSpec) -> i32 {
    spec.min_replicas.unwrap_or(1)
}

pub fn decide(view: &View, history: &History) -> Plan {
    let mut plan = Plan { status: view.status.clone(), ..Plan::default() };
    let got = "the HPA controller was able to get the target's current scale";
    set(&mut plan.status, ABLE_TO_SCALE, true, "SucceededGetScale", got, view.now);
    plan.status.current_replicas = Some(view.replicas).filter(|replicas| *replicas != 0);
    plan.status.observed_generation = None;
    let rescale = |to, reason: &str| Some(Rescale { from: view.replicas, to, reason: reason.to_owned() });
    if view.replicas == 0 && min(view.spec) != 0 {
        let disabled = "scaling is disabled since the replica count of the target is zero";
        set(&mut plan.status, SCALING_ACTIVE, false, "ScalingDisabled", disabled, view.now);
    } else if view.replicas > view.spec.max_replicas {
        plan.rescale = rescale(view.spec.max_replicas, "Current number of replicas above Spec.MaxReplicas");
    } else if view.replicas < min(view.spec) {
        plan.rescale = rescale(min(view.spec), "Current number of replicas below Spec.MinReplicas");
    } else {
        return follow_metrics(view, history, plan);
    }
    plan.status.current_metrics = None;
    plan.status.desired_replicas = plan.rescale.as_ref().map_or(view.replicas, |rescale| rescale.to);
    plan
}

fn follow_metrics(view: &View, history: &History, mut plan: Plan) -> Plan {
    let mut statuses = Vec::new();
    let asked = select_pods(view, &mut plan).and_then(|pods| ask_metrics(view, &pods, &mut plan, &mut statuses));
    plan.status.current_metrics = Some(statuses).filter(|statuses| !statuses.is_empty());
    match asked {
        Ok(asked) => follow(view, history, &asked, &mut plan),
        Err(why) => plan.events.push(("FailedComputeMetricsReplicas", why)),
    }
    plan
}

/// The pods that the target's selector matches, unless another autoscaler claims some of them.
fn select_pods(view: &View, plan: &mut Plan) -> Result<Vec<Arc<Pod>>, String> {
    let mut refuse = |event: &'static str, condition: &str, why: &str, message: String| {
        plan.events.push((event, message.clone()));
        set(&mut plan.status, SCALING_ACTIVE, false, condition, why, view.now);
        Err(message)
    };
    if view.selector.is_empty() {
        let missing = "the HPA target's scale is missing a selector";
        return refuse("SelectorRequired", "InvalidSelector", missing, "selector is required".to_owned());
    }
    let selector = match LabelSelector::parse(view.selector) {
        Ok(selector) => selector,
        Err(error) => {
            let why = format!("couldn't convert selector into a corresponding internal selector object: {error}");
            return refuse("InvalidSelector", "InvalidSelector", &why, why.clone());
        }
    };
    let pods: Vec<Arc<Pod>> = view.pods.iter().filter(|pod| selects(&selector, pod)).cloned().collect();
    let rivals = view.rivals.iter().filter(|(_, selector)| pods.iter().any(|pod| selects(selector, pod)));
    let rivals: Vec<&ObjectKey> = rivals.map(|(key, _)| key).collect();
    if rivals.is_empty() {
        return Ok(pods);
    }
    let all = [view.key].into_iter().chain(rivals).map(|key| format!("{{{} {}}}", key.name, key.namespace));
    let all = all.collect::<Vec<_>>().join(" ");
    let why = format!("pods by selector {} are controlled by multiple HPAs: [{all}]", view.selector);
    refuse("AmbiguousSelector", "AmbiguousSelector", &why, why.clone())
}

fn selects(selector: &LabelSelector, pod: &Pod) -> bool {
    selector.matches(&|label| meta::label(&pod.metadata, label))
}

/// The most that any metric asks for. A metric that fails forbids scaling down.
fn ask_metrics(
    view: &View,
    pods: &[Arc<Pod>],
    plan: &mut Plan,
    statuses: &mut Vec<MetricStatus>,
) -> Result<Asked, String> {
    let tolerances = Tolerances::of(view.spec.behavior.as_ref());
    let cx = Context { replicas: view.replicas, pods, readings: view.readings, tolerances, now: view.now };
    let mut asked = Asked { replicas: 0, metric: String::new() };
    let mut failures: Vec<Failed> = Vec::new();
    let specs = view.spec.metrics.as_deref().unwrap_or_default();
    if specs.is_empty() {
        // The API sets a default, so that this is no wish for nothing.
        return Err("no metrics are set".to_owned());
    }
    for spec in specs {
        // One that fails keeps its place with an empty status.
        let mut status = MetricStatus::default();
        match evaluate(spec, &cx) {
            Ok(metric) => {
                status = metric.status;
                if asked.replicas == 0 || metric.replicas > asked.replicas {
                    asked = Asked { replicas: metric.replicas, metric: metric.name };
                }
            }
            Err(failed) => failures.push(failed),
        }
        statuses.push(status);
    }
    plan.events.extend(failures.iter().map(|failed| (failed.reason, failed.message.clone())));
    match failures.first() {
        Some(first) if failures.len() == specs.len() || asked.replicas < view.replicas => {
            let unable = format!("the HPA was unable to compute the replica count: {}", first.message);
            set(&mut plan.status, SCALING_ACTIVE, false, first.reason, unable, view.now);
            let (invalid, all, first) = (failures.len(), specs.len(), first.summary());
            Err(format!("invalid metrics ({invalid} invalid out of {all}), first error is: {first}"))
        }
        _ => {
            let found = format!("the HPA was able to successfully calculate a replica count from {}", asked.metric);
            set(&mut plan.status, SCALING_ACTIVE, true, "ValidMetricFound", found, view.now);
            Ok(asked)
        }
    }
}

fn follow(view: &View, history: &History, asked: &Asked, plan: &mut Plan) {
    let (current, spec) = (view.replicas, view.spec);
    let wish = Wish { current, desired: asked.replicas, min: min(spec), max: spec.max_replicas };
    let allowed = allow(wish, spec.behavior.as_ref(), history, view.now);
    set(&mut plan.status, ABLE_TO_SCALE, true, allowed.able.0, allowed.able.1, view.now);
    set(&mut plan.status, SCALING_LIMITED, allowed.limited, allowed.limit.0, allowed.limit.1, view.now);
    plan.recommendation = Some(asked.replicas);
    plan.status.desired_replicas = allowed.replicas;
    if allowed.replicas != current {
        let reason = match asked.replicas {
            asked_for if asked_for > current => format!("{} above target", asked.metric),
            asked_for if asked_for < current => "All metrics below target".to_owned(),
            _ => String::new(),
        };
        plan.rescale = Some(Rescale { from: current, to: allowed.replicas, reason });
    }
}

/// The status when the target's scale cannot be read.
pub fn without_scale(status: &mut HorizontalPodAutoscalerStatus, why: &str, now: Timestamp) {
    let message = format!("the HPA controller was unable to get the target's current scale: {why}");
    set(status, ABLE_TO_SCALE, false, "FailedGetScale", message, now);
}

/// Tells in the status of `plan` how its rescale ended; `before` is what was desired until now.
pub fn rescaled(plan: &mut Plan, before: i32, result: Result<(), String>, now: Timestamp) {
    let Some(rescale) = &plan.rescale else { return };
    match result {
        Ok(()) => {
            let message = format!("the HPA controller was able to update the target scale to {}", rescale.to);
            set(&mut plan.status, ABLE_TO_SCALE, true, "SucceededRescale", message, now);
            plan.status.last_scale_time = Some(Time(clock::to_seconds(now)));
        }
        Err(why) => {
            let message = format!("the HPA controller was unable to update the target scale: {why}");
            set(&mut plan.status, ABLE_TO_SCALE, false, "FailedUpdateScale", message, now);
            plan.status.desired_replicas = before;
        }
    }
}
