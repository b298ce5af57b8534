//! Requests and limits: quality of service, cgroup values, and sums over a pod. Pure.
//!
//! upstream: pkg/kubelet/cm, pkg/apis/core/v1/helper/qos, component-helpers/resource

use std::collections::BTreeMap;

use containers::Resources;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::pod::spec::{self, Kind};

const CPU_PERIOD: u64 = 100_000;
const CPU_QUOTA_MIN: i64 = 1_000;
const CPU_SHARES_MIN: u64 = 2;
const CPU_SHARES_MAX: u64 = 262_144;
const OOM_GUARANTEED: i32 = -997;
const OOM_BEST_EFFORT: i32 = 1000;

/// A pod's class of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    pub fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

/// Thousandths, rounded up; what cannot be read counts as nothing.
pub fn milli(quantity: &Quantity) -> i64 {
    parsed(quantity).map_or(0, |quantity| clamp(quantity.milli_value()))
}

/// Whole units, rounded up; what cannot be read counts as nothing.
pub fn whole(quantity: &Quantity) -> i64 {
    parsed(quantity).map_or(0, |quantity| clamp(quantity.value()))
}

fn parsed(quantity: &Quantity) -> Option<machinery::quantity::Quantity> {
    quantity.0.parse().ok()
}

fn clamp(value: i128) -> i64 {
    value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

type Amounts = BTreeMap<String, Quantity>;

pub fn requests(container: &Container) -> Option<&Amounts> {
    container.resources.as_ref()?.requests.as_ref()
}

pub fn limits(container: &Container) -> Option<&Amounts> {
    container.resources.as_ref()?.limits.as_ref()
}

fn request(container: &Container, resource: &str) -> Option<Quantity> {
    let own = requests(container).and_then(|amounts| amounts.get(resource));
    own.or_else(|| limit(container, resource)).cloned()
}

pub fn limit<'a>(container: &'a Container, resource: &str) -> Option<&'a Quantity> {
    limits(container)?.get(resource).filter(|quantity| milli(quantity) > 0)
}

/// The class of service, from requests and limits of CPU and memory of all but ephemeral containers.
pub fn qos(pod: &Pod) -> Qos {
    let spec = spec::spec(pod);
    if let Some(whole_pod) = &spec.resources
        && (whole_pod.requests.is_some() || whole_pod.limits.is_some())
    {
        return class(&[(whole_pod.requests.as_ref(), whole_pod.limits.as_ref())]);
    }
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let amounts: Vec<_> = containers.map(|container| (requests(container), limits(container))).collect();
    class(&amounts)
}

fn class(amounts: &[(Option<&Amounts>, Option<&Amounts>)]) -> Qos {
    let counted = |amounts: Option<&Amounts>, resource: &str| {
        amounts.and_then(|amounts| amounts.get(resource)).map(milli).filter(|value| *value > 0)
    };
    let both = ["cpu", "memory"];
    let any = |(r, l): &(Option<&Amounts>, Option<&Amounts>)| {
        both.iter().any(|resource| counted(*r, resource).is_some() || counted(*l, resource).is_some())
    };
    let full = |(r, l): &(Option<&Amounts>, Option<&Amounts>)| {
        both.iter().all(|resource| {
            let limit = counted(*l, resource);
            limit.is_some() && counted(*r, resource).or(limit) == limit
        })
    };
    match () {
        () if !amounts.iter().any(any) => Qos::BestEffort,
        () if amounts.iter().all(full) => Qos::Guaranteed,
        () => Qos::Burstable,
    }
}

/// Where the pod's cgroups live below the runtime's root: guaranteed pods right in it.
pub fn cgroup_parent(pod: &Pod) -> String {
    let uid = spec::uid(pod);
    match qos(pod) {
        Qos::Guaranteed => format!("pod{uid}"),
        Qos::Burstable => format!("burstable/pod{uid}"),
        Qos::BestEffort => format!("besteffort/pod{uid}"),
    }
}

fn shares(milli_cpu: i64) -> u64 {
    (milli_cpu.max(0) as u64 * 1024 / 1000).clamp(CPU_SHARES_MIN, CPU_SHARES_MAX)
}

fn quota(milli_cpu: i64) -> Option<i64> {
    (milli_cpu > 0).then(|| (milli_cpu * CPU_PERIOD as i64 / 1000).max(CPU_QUOTA_MIN))
}

/// The cgroup values of one container on a node with `node_memory` bytes.
pub fn of_container(pod: &Pod, container: &Container, node_memory: u64) -> Resources {
    let cpu_limit = limit(container, "cpu").map_or(0, milli);
    Resources {
        cpu_shares: Some(shares(request(container, "cpu").map_or(0, |quantity| milli(&quantity)))),
        cpu_quota: quota(cpu_limit),
        cpu_period: Some(CPU_PERIOD),
        memory_limit: limit(container, "memory").map(whole),
        pids_limit: None,
        oom_score_adj: oom_score_adj(pod, container, node_memory),
    }
}

/// The more memory a burstable container asks for, the later the kernel kills it.
fn oom_score_adj(pod: &Pod, container: &Container, node_memory: u64) -> i32 {
    if spec::spec(pod).priority.unwrap_or(0) >= spec::CRITICAL_PRIORITY {
        return OOM_GUARANTEED;
    }
    match qos(pod) {
        Qos::Guaranteed => OOM_GUARANTEED,
        Qos::BestEffort => OOM_BEST_EFFORT,
        Qos::Burstable => {
            let request = request(container, "memory").map_or(0, |quantity| whole(&quantity)).max(0) as u128;
            let share = (1000 * request / u128::from(node_memory.max(1))).min(1000) as i32;
            (1000 - share).clamp(1000 + OOM_GUARANTEED, OOM_BEST_EFFORT - 1)
        }
    }
}

/// The cgroup values of the pod as a whole: limits only when every container has one.
pub fn of_pod(pod: &Pod) -> Resources {
    let apps = &spec::spec(pod).containers;
    let all_limit = |resource: &str| apps.iter().all(|container| limit(container, resource).is_some());
    let cpu_limit = if all_limit("cpu") { total(pod, "cpu", Bound::Limit) } else { 0 };
    let memory_limit = (!apps.is_empty() && all_limit("memory")).then(|| total(pod, "memory", Bound::Limit) / 1000);
    Resources {
        cpu_shares: Some(shares(total(pod, "cpu", Bound::Request))),
        cpu_quota: quota(cpu_limit),
        cpu_period: Some(CPU_PERIOD),
        memory_limit,
        pids_limit: None,
        oom_score_adj: 0,
    }
}

/// Which of a container's two amounts is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Request,
    Limit,
}

/// What the whole pod takes of a resource, in thousandths.
///
/// Sidecars run beside the apps; an init container only needs room beside the sidecars before it.
pub fn total(pod: &Pod, resource: &str, bound: Bound) -> i64 {
    let amount = |container: &Container| match bound {
        Bound::Request => request(container, resource).map_or(0, |quantity| milli(&quantity)),
        Bound::Limit => limit(container, resource).map_or(0, milli),
    };
    let (mut sidecars, mut init_peak, mut apps) = (0, 0, 0);
    for (kind, container) in spec::containers(pod) {
        match kind {
            Kind::Sidecar => sidecars += amount(&container),
            Kind::Init => init_peak = i64::max(init_peak, sidecars + amount(&container)),
            Kind::App => apps += amount(&container),
            Kind::Ephemeral => {}
        }
    }
    let overhead = spec::spec(pod).overhead.as_ref().and_then(|amounts| amounts.get(resource)).map_or(0, milli);
    i64::max(init_peak, sidecars + apps) + overhead
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `[requests, limits]` of each container.
    fn pod(containers: serde_json::Value) -> Pod {
        let containers: Vec<_> = containers
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(i, r)| json!({"name": format!("c{i}"), "resources": {"requests": r[0], "limits": r[1]}}))
            .collect();
        serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": {"containers": containers}})).unwrap()
    }

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let cases = [
            (json!([[{}, {}]]), Qos::BestEffort, "besteffort/podu"),
            (json!([[{"cpu": "0"}, {}]]), Qos::BestEffort, "besteffort/podu"),
            (json!([[{"cpu": "1"}, {}]]), Qos::Burstable, "burstable/podu"),
            (json!([[{}, {"cpu": "1", "memory": "1Gi"}]]), Qos::Guaranteed, "podu"),
            (json!([[{"cpu": "1000m", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}]]), Qos::Guaranteed, "podu"),
            (json!([[{"cpu": "500m"}, {"cpu": "1", "memory": "1Gi"}]]), Qos::Burstable, "burstable/podu"),
            (json!([[{}, {"cpu": "1", "memory": "1Gi"}], [{}, {}]]), Qos::Burstable, "burstable/podu"),
        ];
        for (containers, class, parent) in cases {
            let pod = pod(containers.clone());
            assert_eq!((qos(&pod), cgroup_parent(&pod).as_str()), (class, parent), "{containers}");
        }
    }

    #[test]
    fn cgroup_values_come_from_requests_and_limits() {
        let pod = pod(json!([[{"cpu": "250m", "memory": "1Gi"}, {"cpu": "500m", "memory": "2Gi"}]]));
        let resources = of_container(&pod, &pod.spec.as_ref().unwrap().containers[0], 4 << 30);
        assert_eq!(resources.cpu_shares, Some(256));
        assert_eq!((resources.cpu_quota, resources.cpu_period), (Some(50_000), Some(100_000)));
        assert_eq!(resources.memory_limit, Some(2 << 30));
        assert_eq!(resources.oom_score_adj, 750);
    }

    #[test]
    fn a_best_effort_container_has_least_shares_and_no_limits() {
        let pod = pod(json!([[{}, {}]]));
        let resources = of_container(&pod, &pod.spec.as_ref().unwrap().containers[0], 4 << 30);
        assert_eq!(
            (resources.cpu_shares, resources.cpu_quota, resources.memory_limit, resources.oom_score_adj),
            (Some(2), None, None, 1000)
        );
    }

    #[test]
    fn an_init_container_raises_the_total_only_above_the_apps() {
        let value = json!({"spec": {
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "init", "resources": {"requests": {"cpu": "1"}}}],
            "containers": [{"name": "app", "resources": {"requests": {"cpu": "200m"}}}]}});
        let pod: Pod = serde_json::from_value(value).unwrap();
        assert_eq!(total(&pod, "cpu", Bound::Request), 1100);
    }
}
