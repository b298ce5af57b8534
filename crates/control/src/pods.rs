//! What a pod's status says. (upstream: pkg/api/v1/pod)

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};

/// Namespaced pods by the node they are bound to: the name of an index for [`crate::Informer::add_index`].
pub const BY_NODE: &str = "spec.nodeName";

/// The values of the index [`BY_NODE`].
pub fn node_index(pod: &Pod) -> Vec<String> {
    node_name(pod).map(str::to_owned).into_iter().collect()
}

/// The node that the pod is bound to.
pub fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

pub fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Since when the pod is ready, if it is.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|ready| ready.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// Whether the pod has been ready for `min_ready`.
pub fn is_available(pod: &Pod, min_ready: Duration, now: Timestamp) -> bool {
    is_ready(pod) && available_in(pod, min_ready, now) == Some(Duration::ZERO)
}

/// How long until a ready pod counts as available; nothing for a pod that is not ready.
pub fn available_in(pod: &Pod, min_ready: Duration, now: Timestamp) -> Option<Duration> {
    if !is_ready(pod) {
        return None;
    }
    if min_ready.is_zero() {
        return Some(Duration::ZERO);
    }
    let ready_for = Duration::try_from(now.duration_since(ready_since(pod)?)).unwrap_or_default();
    Some(min_ready.saturating_sub(ready_for))
}

/// Whether all containers have ended for good.
pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod counts for its controller: neither finished nor being deleted.
pub fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

/// The highest restart count of the pod's containers, sidecars included.
pub fn max_restarts(pod: &Pod) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    containers.map(|container| container.restart_count).max().unwrap_or_default()
}

/// A span of whole seconds, as API fields give it; negative ones count as none.
pub fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

/// The time left from `now` until `from + wait`; zero if that has passed.
pub fn remaining(from: Timestamp, wait: Duration, now: Timestamp) -> Duration {
    let passed: SignedDuration = now.duration_since(from);
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    Duration::try_from(wait.saturating_sub(passed)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::PodStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn ready_at(second: i64) -> Pod {
        let condition = PodCondition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            last_transition_time: Some(Time(Timestamp::from_second(second).unwrap())),
            ..PodCondition::default()
        };
        let status = PodStatus { conditions: Some(vec![condition]), ..PodStatus::default() };
        Pod { status: Some(status), ..Pod::default() }
    }

    #[test]
    fn a_pod_is_available_when_it_was_ready_long_enough() {
        let pod = ready_at(100);
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!is_available(&pod, seconds(10), at(109)));
        assert_eq!(available_in(&pod, seconds(10), at(104)), Some(seconds(6)));
        assert!(is_available(&pod, seconds(10), at(110)));
        assert!(is_available(&pod, seconds(0), at(100)));
        assert!(!is_available(&Pod::default(), seconds(0), at(100)));
    }
}
