//! What a node's `/stats/summary` says, and the rates between two of them.
//!
//! upstream: metrics-server, pkg/storage

use std::collections::BTreeMap;
use std::time::Duration;

use control::ObjectKey;
use jiff::Timestamp;
use serde::Deserialize;

/// Counters further apart than this tell nothing of the present.
pub const WINDOW_MAX: Duration = Duration::from_secs(120);

/// A container that started after the earlier sample has its rate counted from its start, once it ran for so
/// long: before, the start itself weighs too much.
const FRESH_CONTAINER_MIN: Duration = Duration::from_secs(10);

/// What something uses at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Billionths of a CPU.
    pub cpu_nano: u64,
    /// The working set in bytes.
    pub memory: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReading {
    /// The end of the window.
    pub at: Timestamp,
    /// The time over which the CPU rate was taken.
    pub window: Duration,
    pub usage: Usage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodReading {
    pub uid: String,
    pub at: Timestamp,
    /// The shortest window of the containers.
    pub window: Duration,
    /// In the order of their names; never empty.
    pub containers: Vec<ContainerReading>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerReading {
    pub name: String,
    pub usage: Usage,
}

/// Counters at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    started: Option<Timestamp>,
    /// CPU time used since the start, in nanoseconds.
    cpu: u64,
    memory: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PodCounters {
    uid: String,
    containers: BTreeMap<String, Counters>,
}

/// All counters of a node at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub at: Timestamp,
    node: Option<Counters>,
    pods: BTreeMap<ObjectKey, PodCounters>,
}

#[derive(Deserialize)]
struct Summary {
    node: Stats,
    #[serde(default)]
    pods: Vec<PodStats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStats {
    pod_ref: PodRef,
    #[serde(default)]
    containers: Vec<Stats>,
}

#[derive(Deserialize)]
struct PodRef {
    name: String,
    namespace: String,
    uid: String,
}

/// Of a node or of a container.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    #[serde(default)]
    name: String,
    start_time: Option<Timestamp>,
    cpu: Option<CpuStats>,
    memory: Option<MemoryStats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CpuStats {
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MemoryStats {
    working_set_bytes: Option<u64>,
}

impl Sample {
    /// Reads a summary that was answered at `at`: its own times are cut to seconds, too coarse for a rate.
    pub fn parse(summary: &str, at: Timestamp) -> Result<Self, serde_json::Error> {
        let Summary { node, pods } = serde_json::from_str(summary)?;
        Ok(Self { at, node: counters(&node), pods: pods.into_iter().map(pod_counters).collect() })
    }
}

/// Nothing unless both resources are known.
fn counters(stats: &Stats) -> Option<Counters> {
    Some(Counters {
        started: stats.start_time,
        cpu: stats.cpu.as_ref()?.usage_core_nano_seconds?,
        memory: stats.memory.as_ref()?.working_set_bytes?,
    })
}

fn pod_counters(pod: PodStats) -> (ObjectKey, PodCounters) {
    let containers = pod.containers.iter().filter_map(|stats| Some((stats.name.clone(), counters(stats)?))).collect();
    (ObjectKey::new(&pod.pod_ref.namespace, &pod.pod_ref.name), PodCounters { uid: pod.pod_ref.uid, containers })
}

/// The node's usage between two samples.
pub fn node_reading(earlier: Option<&Sample>, now: &Sample) -> Option<NodeReading> {
    let earlier = earlier?;
    let (window, usage) = rate((earlier.at, earlier.node), now.at, now.node?)?;
    Some(NodeReading { at: now.at, window, usage })
}

/// The usage of the node's pods. A pod of which some container has no rate yet is left out.
pub fn pod_readings(earlier: Option<&Sample>, now: &Sample) -> Vec<(ObjectKey, PodReading)> {
    now.pods.iter().filter_map(|(key, pod)| Some((key.clone(), pod_reading(earlier, now.at, key, pod)?))).collect()
}

fn pod_reading(earlier: Option<&Sample>, at: Timestamp, key: &ObjectKey, pod: &PodCounters) -> Option<PodReading> {
    let before = earlier.and_then(|sample| Some((sample.at, sample.pods.get(key).filter(|old| old.uid == pod.uid)?)));
    let mut shortest = Duration::MAX;
    let mut containers = Vec::with_capacity(pod.containers.len());
    for (name, counters) in &pod.containers {
        let old = before.and_then(|(then, old)| Some((then, *old.containers.get(name)?)));
        let (window, usage) = match old.filter(|(_, old)| old.started == counters.started) {
            Some((then, old)) => rate((then, Some(old)), at, *counters)?,
            None => rate_since_start(at, *counters)?,
        };
        shortest = shortest.min(window);
        containers.push(ContainerReading { name: name.clone(), usage });
    }
    let known = !containers.is_empty();
    known.then(|| PodReading { uid: pod.uid.clone(), at, window: shortest, containers })
}

fn rate_since_start(at: Timestamp, counters: Counters) -> Option<(Duration, Usage)> {
    let started = counters.started?;
    let nothing = Counters { started: Some(started), cpu: 0, memory: 0 };
    rate((started, Some(nothing)), at, counters).filter(|(window, _)| *window >= FRESH_CONTAINER_MIN)
}

/// Nothing if time or the counter did not go forward, or if the samples lie too far apart.
fn rate(earlier: (Timestamp, Option<Counters>), at: Timestamp, now: Counters) -> Option<(Duration, Usage)> {
    let (then, old) = (earlier.0, earlier.1?);
    let window = Duration::try_from(at.duration_since(then)).ok()?;
    if window.is_zero() || window > WINDOW_MAX {
        return None;
    }
    let used = u128::from(now.cpu.checked_sub(old.cpu)?);
    let cpu_nano = u64::try_from(used * 1_000_000_000 / window.as_nanos()).ok()?;
    Some((window, Usage { cpu_nano, memory: now.memory }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, summary};

    fn sample(second: i64, cpu_seconds: f64) -> Sample {
        Sample::parse(&summary(cpu_seconds, &[("shop", "web", "u1", "app", 50, cpu_seconds / 2.0)]), at(second))
            .unwrap()
    }

    #[test]
    fn a_rate_is_the_cpu_time_over_the_window() {
        let (earlier, now) = (sample(100, 4.0), sample(110, 9.0));
        let node = node_reading(Some(&earlier), &now).unwrap();
        assert_eq!(node.window, Duration::from_secs(10));
        assert_eq!(node.usage.cpu_nano, 500_000_000);
        let pods = pod_readings(Some(&earlier), &now);
        assert_eq!(pods[0].0.to_string(), "shop/web");
        assert_eq!(pods[0].1.containers[0].usage, Usage { cpu_nano: 250_000_000, memory: 64 << 20 });
    }

    #[test]
    fn one_sample_tells_nothing_of_the_node() {
        assert_eq!(node_reading(None, &sample(100, 4.0)), None);
    }

    #[test]
    fn samples_too_far_apart_tell_nothing() {
        assert_eq!(node_reading(Some(&sample(100, 4.0)), &sample(300, 9.0)), None);
    }

    #[test]
    fn a_new_container_counts_from_its_start_once_it_ran_ten_seconds() {
        assert_eq!(pod_readings(None, &sample(59, 9.0)), Vec::new());
        let pods = pod_readings(None, &sample(60, 9.0));
        assert_eq!(pods[0].1.window, Duration::from_secs(10));
        assert_eq!(pods[0].1.containers[0].usage.cpu_nano, 450_000_000);
    }

    #[test]
    fn a_pod_of_the_same_name_is_another_pod() {
        let earlier = sample(100, 4.0);
        let other = summary(9.0, &[("shop", "web", "u2", "app", 105, 3.0)]);
        assert_eq!(pod_readings(Some(&earlier), &Sample::parse(&other, at(110)).unwrap()), Vec::new());
    }

    #[test]
    fn a_counter_that_went_back_gives_no_rate() {
        assert_eq!(node_reading(Some(&sample(100, 9.0)), &sample(110, 4.0)), None);
    }
}
