//! What the pods of a target use and request, and which of them count.
//!
//! upstream: pkg/controller/podautoscaler/metrics/client.go and groupPods in replica_calculator.go

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use control::{ObjectKey, meta, pods};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodCondition, ResourceRequirements};
use machinery::Quantity;

use crate::sampler::{PodReading, Readings, Usage};

/// For so long after its start a pod's CPU usage counts only while it is ready, and only if measured since.
const CPU_INITIALIZATION: Duration = Duration::from_secs(5 * 60);

/// A pod that turned unready within this time of its start was never ready.
const INITIAL_READINESS_DELAY: Duration = Duration::from_secs(30);

const CPU: &str = "cpu";
const MEMORY: &str = "memory";

/// One pod's usage of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodMetric {
    pub at: Timestamp,
    pub window: Duration,
    /// In thousandths: of a CPU, of a byte.
    pub value: i64,
}

/// By the name of the pod.
pub type PodMetrics<'a> = BTreeMap<&'a str, PodMetric>;

pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// What each pod, or one container of it, uses of `resource`. Pods without a reading are left out.
pub fn usage<'a>(
    pods: &'a [Arc<Pod>],
    readings: &Readings,
    resource: &str,
    container: Option<&str>,
) -> Result<PodMetrics<'a>, String> {
    let mut metrics = PodMetrics::new();
    let mut known = false;
    for pod in pods {
        let Some(reading) = reading_of(pod, readings) else { continue };
        known = true;
        if let Some(container) = container.filter(|name| reading.containers.iter().all(|c| c.name != **name)) {
            let key = ObjectKey::of(&pod.metadata);
            return Err(format!(
                "failed to get container metrics: container {container} not present in metrics for pod {key}"
            ));
        }
        if let Some(value) = total(reading, resource, container) {
            metrics.insert(name(pod), PodMetric { at: reading.at, window: reading.window, value });
        }
    }
    if known { Ok(metrics) } else { Err("no metrics returned from resource metrics API".to_owned()) }
}

fn reading_of<'a>(pod: &Pod, readings: &'a Readings) -> Option<&'a PodReading> {
    let reading = readings.pods.get(&ObjectKey::of(&pod.metadata))?;
    (reading.uid == meta::uid(&pod.metadata)).then_some(reading)
}

fn total(reading: &PodReading, resource: &str, container: Option<&str>) -> Option<i64> {
    let counted = reading.containers.iter().filter(|c| container.is_none_or(|name| c.name == name));
    counted.map(|container| milli(container.usage, resource)).sum()
}

fn milli(usage: Usage, resource: &str) -> Option<i64> {
    match resource {
        CPU => i64::try_from(usage.cpu_nano.div_ceil(1_000_000)).ok(),
        MEMORY => i64::try_from(usage.memory).ok()?.checked_mul(1000),
        _ => None,
    }
}

/// Pods by how they count.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Groups<'a> {
    pub ready: usize,
    /// Use nothing yet, as far as scaling up is concerned.
    pub unready: BTreeSet<&'a str>,
    /// Should have metrics and have none.
    pub missing: BTreeSet<&'a str>,
    /// On their way out.
    pub ignored: BTreeSet<&'a str>,
}

pub fn group<'a>(pods: &'a [Arc<Pod>], metrics: &PodMetrics, resource: &str, now: Timestamp) -> Groups<'a> {
    let mut groups = Groups::default();
    for pod in pods {
        let name = name(pod);
        if pods::is_terminating(pod) || pods::phase(pod) == "Failed" {
            groups.ignored.insert(name);
        } else if pods::phase(pod) == "Pending" {
            groups.unready.insert(name);
        } else if let Some(metric) = metrics.get(name) {
            if resource == CPU && starts_up(pod, metric, now) {
                groups.unready.insert(name);
            } else {
                groups.ready += 1;
            }
        } else {
            groups.missing.insert(name);
        }
    }
    groups
}

/// Whether the metric may tell of the pod's start rather than of its work.
fn starts_up(pod: &Pod, metric: &PodMetric, now: Timestamp) -> bool {
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let (Some(started), Some(ready)) = (started, pods::condition(pod, "Ready")) else { return true };
    let unready = ready.status == "False";
    if started.0 + CPU_INITIALIZATION > now {
        return unready || metric.at < changed_at(ready) + metric.window;
    }
    unready && started.0 + INITIAL_READINESS_DELAY > changed_at(ready)
}

fn changed_at(condition: &PodCondition) -> Timestamp {
    condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// What each pod, or one container of it, requests of `resource`, in thousandths.
pub fn requests<'a>(
    pods: &'a [Arc<Pod>],
    resource: &str,
    container: Option<&str>,
) -> Result<BTreeMap<&'a str, i64>, String> {
    pods.iter().map(|pod| Ok((name(pod), request(pod, resource, container)?))).collect()
}

fn request(pod: &Pod, resource: &str, container: Option<&str>) -> Result<i64, String> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    match (container, of_pod.filter(|resources| resources.requests.as_ref().is_some_and(|map| !map.is_empty()))) {
        (None, Some(resources)) => pod_level_request(pod, resources, resource),
        (Some(container), _) => container_request(pod, resource, container),
        (None, None) => long_running(pod).map(|container| requested(pod, container, resource)).sum(),
    }
}

/// Requests of the pod as a whole, or of its containers together where it has none of the resource.
fn pod_level_request(pod: &Pod, resources: &ResourceRequirements, resource: &str) -> Result<i64, String> {
    let of_containers =
        || long_running(pod).filter_map(|c| amount(c.resources.as_ref()?, resource)).reduce(|a, b| a + b);
    let missing = || format!("missing pod-level request for {resource} in Pod {}", name(pod));
    amount(resources, resource).or_else(of_containers).ok_or_else(missing)
}

fn container_request(pod: &Pod, resource: &str, container: &str) -> Result<i64, String> {
    let found = long_running(pod).find(|candidate| candidate.name == container);
    let found = found.ok_or_else(|| format!("container {container} not found in Pod {}", name(pod)))?;
    requested(pod, found, resource)
}

fn requested(pod: &Pod, container: &Container, resource: &str) -> Result<i64, String> {
    let found = container.resources.as_ref().and_then(|resources| amount(resources, resource));
    found.ok_or_else(|| format!("missing request for {resource} in container {} of Pod {}", container.name, name(pod)))
}

/// Containers and sidecars.
fn long_running(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref();
    let sidecars = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.into_iter().flat_map(|spec| &spec.containers).chain(sidecars)
}

fn amount(resources: &ResourceRequirements, resource: &str) -> Option<i64> {
    let quantity = Quantity::parse(&resources.requests.as_ref()?.get(resource)?.0).ok()?;
    i64::try_from(quantity.milli_value()).ok()
}
