//! `/stats/summary`: what node, pods and containers use.
//!
//! upstream: staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use containers::{ContainerState, ContainerStatus, Usage};
use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use procfs::CurrentSI;
use serde_json::{Value, json};

use super::{Answer, Refusal, Server, response};
use crate::container::sandbox::POD_UID_LABEL;
use crate::machine::filesystem;
use crate::pod::observe::container_name;
use crate::pod::spec;

/// A rate is told of samples that lie at least this far apart.
const RATE_MIN: Duration = Duration::from_secs(1);

/// CPU time used up to an instant.
type Sample = (Timestamp, Duration);

type LastTwo = (Option<Sample>, Sample);

/// The last two samples of each source, for rates.
#[derive(Clone, Default)]
pub struct Samples(Arc<Mutex<HashMap<String, LastTwo>>>);

impl Samples {
    /// Billionths of a CPU in use, from this sample and an earlier one.
    fn rate(&self, source: &str, at: Timestamp, cpu: Duration) -> Option<u64> {
        let mut samples = self.0.lock();
        let slot = samples.entry(source.to_string()).or_insert((None, (at, cpu)));
        let apart = |(then, _): Sample| Duration::try_from(at.duration_since(then)).unwrap_or_default();
        if apart(slot.1) >= RATE_MIN {
            *slot = (Some(slot.1), (at, cpu));
        }
        let (then, used) = slot.0?;
        let (passed, used) = (apart((then, used)), cpu.checked_sub(used)?);
        (!passed.is_zero()).then(|| (used.as_nanos() * 1_000_000_000 / passed.as_nanos()) as u64)
    }

    fn retain(&self, known: &[String]) {
        self.0.lock().retain(|source, _| known.contains(source));
    }
}

/// Everything that is measured at once.
pub struct Snapshot {
    pub node: Usage,
    pub node_started: Timestamp,
    pub pods: Vec<PodUsage>,
}

pub struct PodUsage {
    pub pod: Arc<Pod>,
    pub usage: Usage,
    pub containers: Vec<(ContainerStatus, Usage)>,
}

/// Reads the usage of everything that runs. What ends meanwhile is left out.
pub async fn snapshot(server: &Server) -> Result<Snapshot, Refusal> {
    let runtime = &server.node.runtime;
    let containers = runtime.list_containers().await?;
    let sandboxes = runtime.list_sandboxes().await?;
    let mut pods = Vec::new();
    for pod in server.table.list() {
        let uid = spec::uid(&pod);
        let Some(sandbox) =
            sandboxes.iter().filter(|sandbox| sandbox.metadata.uid == uid).max_by_key(|s| s.metadata.attempt)
        else {
            continue;
        };
        let Ok(usage) = runtime.sandbox_usage(&sandbox.id).await else { continue };
        let mut used = Vec::new();
        let running = containers.iter().filter(|container| container.state == ContainerState::Running);
        for container in running.filter(|c| c.labels.get(POD_UID_LABEL).map(String::as_str) == Some(uid)) {
            if let Ok(usage) = runtime.container_usage(&container.id).await {
                used.push((container.clone(), usage));
            }
        }
        pods.push(PodUsage { pod, usage, containers: used });
    }
    let node = node_usage().map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let booted = procfs::KernelStats::current().map(|stats| stats.btime as i64).unwrap_or_default();
    Ok(Snapshot { node, node_started: Timestamp::from_second(booted).unwrap_or_default(), pods })
}

/// The whole machine, from the kernel's own counters.
fn node_usage() -> Result<Usage, procfs::ProcError> {
    use procfs::Current;
    let memory = procfs::Meminfo::current()?;
    let total = procfs::KernelStats::current()?.total;
    let ticks = total.user + total.nice + total.system + total.irq.unwrap_or(0) + total.softirq.unwrap_or(0);
    let working_set = memory.mem_total - memory.mem_available.unwrap_or(memory.mem_free);
    Ok(Usage {
        at: clock::now(),
        cpu: Duration::from_millis(ticks * 1000 / procfs::ticks_per_second()),
        memory_working_set: working_set,
        memory_usage: memory.mem_total - memory.mem_free,
        memory_rss: memory.active_anon.unwrap_or(0) + memory.inactive_anon.unwrap_or(0),
        ..Usage::default()
    })
}

pub async fn answer(server: &Server) -> Answer {
    let snapshot = snapshot(server).await?;
    let mut known = vec!["node".to_string()];
    let node = json!({
        "nodeName": server.node.config.node_name,
        "startTime": clock::format_time(snapshot.node_started),
        "cpu": cpu(server, "node", &snapshot.node),
        "memory": node_memory(server, &snapshot.node),
        "fs": node_filesystem(server),
    });
    let pods: Vec<Value> = snapshot.pods.iter().map(|pod| pod_stats(server, pod, &mut known)).collect();
    server.samples.retain(&known);
    Ok(response(StatusCode::OK, "application/json", json!({ "node": node, "pods": pods }).to_string()))
}

fn cpu(server: &Server, source: &str, usage: &Usage) -> Value {
    let mut value =
        json!({ "time": clock::format_time(usage.at), "usageCoreNanoSeconds": usage.cpu.as_nanos() as u64 });
    if let Some(rate) = server.samples.rate(source, usage.at, usage.cpu) {
        value["usageNanoCores"] = json!(rate);
    }
    value
}

fn memory(usage: &Usage) -> Value {
    json!({
        "time": clock::format_time(usage.at),
        "usageBytes": usage.memory_usage,
        "workingSetBytes": usage.memory_working_set,
        "rssBytes": usage.memory_rss,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    })
}

fn node_memory(server: &Server, usage: &Usage) -> Value {
    let mut value = memory(usage);
    value["availableBytes"] = json!(server.node.machine.memory.saturating_sub(usage.memory_working_set));
    value
}

fn node_filesystem(server: &Server) -> Value {
    let disk = filesystem(&server.node.config.root_dir).unwrap_or_default();
    json!({
        "time": clock::format_time(clock::now()),
        "availableBytes": disk.available,
        "capacityBytes": disk.capacity,
        "usedBytes": disk.capacity.saturating_sub(disk.available),
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": disk.inodes.saturating_sub(disk.inodes_free),
    })
}

fn pod_stats(server: &Server, used: &PodUsage, known: &mut Vec<String>) -> Value {
    let uid = spec::uid(&used.pod).to_string();
    let containers: Vec<Value> = used
        .containers
        .iter()
        .map(|(status, usage)| {
            known.push(status.id.clone());
            json!({
                "name": container_name(status),
                "startTime": status.started_at.map(clock::format_time),
                "cpu": cpu(server, &status.id, usage),
                "memory": memory(usage),
            })
        })
        .collect();
    let started = used.pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let stats = json!({
        "podRef": { "name": spec::name(&used.pod), "namespace": spec::namespace(&used.pod), "uid": uid },
        "startTime": started.map(|time| clock::format_time(time.0)),
        "containers": containers,
        "cpu": cpu(server, &uid, &used.usage),
        "memory": memory(&used.usage),
        "process_stats": { "process_count": used.usage.pids },
    });
    known.push(uid);
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_samples_apart() {
        let samples = Samples::default();
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        assert_eq!(samples.rate("a", at(100), Duration::from_secs(5)), None);
        assert_eq!(samples.rate("a", at(110), Duration::from_secs(10)), Some(500_000_000));
        assert_eq!(samples.rate("a", at(120), Duration::from_secs(11)), Some(100_000_000));
        samples.retain(&[]);
        assert_eq!(samples.rate("a", at(130), Duration::from_secs(12)), None);
    }

    #[test]
    fn the_machine_uses_something() {
        let usage = node_usage().unwrap();
        assert!(usage.cpu > Duration::ZERO && usage.memory_working_set > 0);
    }
}
