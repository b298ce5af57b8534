//! The Node object and its lease: making them, keeping them fresh.
//!
//! `describe` and `conditions` are pure; [`Registration`] does the I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus,
    NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tracing::{info, warn};

use crate::config::{AgentConfig, Error, LEASE_DURATION, LEASE_RENEWAL, STATUS_CHECK, STATUS_REPORT};
use crate::machine::{Headroom, Machine};

/// What the node says it speaks.
pub const KUBELET_VERSION: &str = concat!("v1.35.0+keelson", env!("CARGO_PKG_VERSION"));
const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";
/// The namespace of node leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Upstream lists no more images than this in a node's status.
const MAX_IMAGES: usize = 50;
/// Between two attempts to reach an API that does not answer.
const RETRY: Duration = Duration::from_millis(200);

/// Keeps this agent's Node.
pub struct Registration {
    config: Arc<AgentConfig>,
    machine: Machine,
    /// The port the node's API listens on.
    port: u16,
}

impl Registration {
    pub fn new(config: Arc<AgentConfig>, machine: Machine, port: u16) -> Registration {
        Registration { config, machine, port }
    }

    /// Makes the Node or brings the one that is there up to date, and answers it. Tries until it works.
    pub async fn register(&self) -> Node {
        loop {
            match self.try_register().await {
                Ok(node) => return node,
                Err(error) => warn!(%error, node = self.config.node_name, "cannot register the node yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_register(&self) -> Result<Node, Error> {
        let nodes: Api<Node> = Api::all(self.config.client.clone());
        let mut wanted = self.node();
        let found = match nodes.create(&PostParams::default(), &wanted).await {
            Ok(node) => node,
            Err(kube::Error::Api(status)) if status.is_already_exists() => nodes.get(&self.config.node_name).await?,
            Err(error) => return Err(error.into()),
        };
        let labels = wanted.metadata.labels.take().unwrap_or_default();
        if labels.iter().any(|(key, value)| found.metadata.labels.as_ref().and_then(|l| l.get(key)) != Some(value)) {
            let patch = json!({ "metadata": { "labels": labels } });
            nodes.patch(&self.config.node_name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        }
        self.label_role(&found).await?;
        info!(node = self.config.node_name, "registered");
        Ok(found)
    }

    async fn label_role(&self, found: &Node) -> Result<(), Error> {
        let Some(client) = &self.config.control_plane else { return Ok(()) };
        if found.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(CONTROL_PLANE_LABEL)) {
            return Ok(());
        }
        let nodes: Api<Node> = Api::all(client.clone());
        let patch = json!({ "metadata": { "labels": { (CONTROL_PLANE_LABEL): "" } } });
        nodes.patch(&self.config.node_name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        Ok(())
    }

    fn node(&self) -> Node {
        let name = &self.config.node_name;
        let labels = labels(name, &self.config.labels);
        let taints = Some(self.config.taints.clone()).filter(|taints| !taints.is_empty());
        Node {
            metadata: ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..ObjectMeta::default() },
            spec: Some(NodeSpec { taints, ..NodeSpec::default() }),
            status: None,
        }
    }

    /// Renews the lease and the status for as long as it is polled.
    pub async fn run(self, node: Node) {
        let lease = self.keep_lease(node.metadata.uid.clone().unwrap_or_default());
        let status = self.keep_status(node.status.unwrap_or_default());
        tokio::join!(lease, status);
    }

    async fn keep_lease(&self, node_uid: String) {
        loop {
            if let Err(error) = renew_lease(&self.config.client, &self.config.node_name, &node_uid).await {
                warn!(%error, "cannot renew the node's lease");
            }
            tokio::time::sleep(LEASE_RENEWAL).await;
        }
    }

    async fn keep_status(&self, mut published: NodeStatus) {
        let mut reported: Option<Timestamp> = None;
        loop {
            let status = self.status(&published).await;
            let due = reported.is_none_or(|at| clock::since(at) >= STATUS_REPORT);
            let pause = if !due && !changed(&published, &status) {
                STATUS_CHECK
            } else {
                match self.publish(&status).await {
                    Ok(()) => {
                        published = status;
                        reported = Some(clock::now());
                        STATUS_CHECK
                    }
                    Err(error) => {
                        warn!(%error, "cannot update the node's status");
                        RETRY
                    }
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn publish(&self, status: &NodeStatus) -> Result<(), Error> {
        let nodes: Api<Node> = Api::all(self.config.client.clone());
        let patch = Patch::Strategic(json!({ "status": status }));
        nodes.patch_status(&self.config.node_name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn status(&self, before: &NodeStatus) -> NodeStatus {
        let runtime = &self.config.runtime;
        let images = runtime.list_images().await;
        let runtime_error = images.as_ref().err().map(ToString::to_string);
        let headroom = match self.config.machine {
            Some(_) => None,
            None => Headroom::of_host(&self.config.root_dir).inspect_err(|error| warn!(%error, "no headroom")).ok(),
        };
        let now = clock::now_seconds();
        let mut status = describe(&self.config, &self.machine, self.port);
        status.images = Some(node_images(images.unwrap_or_default()));
        status.conditions = Some(conditions(headroom.as_ref(), runtime_error.as_deref(), before, now));
        status
    }
}

/// The labels of a Node, those of the caller over upstream's own.
fn labels(name: &str, extra: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture()),
    ]
    .map(|(key, value)| (key.to_string(), value.to_string()))
    .into();
    labels.extend(extra.clone());
    labels
}

/// Go's name of this machine's architecture.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What of the status does not move: capacity, addresses, identity.
fn describe(config: &AgentConfig, machine: &Machine, port: u16) -> NodeStatus {
    let address = |type_: &str, address: String| NodeAddress { address, type_: type_.to_string() };
    let (runtime, version) = config.runtime.version();
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", config.node_ip.to_string()),
            address("Hostname", config.node_name.clone()),
        ]),
        capacity: Some(capacity(machine, config.max_pods)),
        allocatable: Some(allocatable(machine, config.max_pods)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(port) }),
        }),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().into(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: format!("{runtime}://{version}"),
            kernel_version: machine.kernel_version.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: KUBELET_VERSION.into(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".into(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            swap: None,
        }),
        ..NodeStatus::default()
    }
}

type Resources = BTreeMap<String, Quantity>;

fn capacity(machine: &Machine, max_pods: u32) -> Resources {
    [
        ("cpu", machine.cpus.to_string()),
        ("memory", format!("{}Ki", machine.memory / 1024)),
        ("ephemeral-storage", format!("{}Ki", machine.storage / 1024)),
        ("pods", max_pods.to_string()),
        ("hugepages-1Gi", "0".into()),
        ("hugepages-2Mi", "0".into()),
    ]
    .map(|(name, value)| (name.to_string(), Quantity(value)))
    .into()
}

/// Capacity without what the eviction thresholds keep back.
fn allocatable(machine: &Machine, max_pods: u32) -> Resources {
    let mut resources = capacity(machine, max_pods);
    resources.insert("memory".into(), Quantity(format!("{}Ki", machine.allocatable_memory() / 1024)));
    resources.insert("ephemeral-storage".into(), Quantity(machine.allocatable_storage().to_string()));
    resources
}

/// The largest images first, as upstream lists them.
fn node_images(mut images: Vec<containers::Image>) -> Vec<ContainerImage> {
    images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
    images
        .into_iter()
        .take(MAX_IMAGES)
        .map(|image| ContainerImage {
            names: Some(image.digests.into_iter().chain(image.tags).collect()),
            size_bytes: Some(image.size as i64),
        })
        .collect()
}

/// A condition's type, whether it holds, its reason and its message.
type Verdict = (&'static str, bool, &'static str, String);

fn conditions(
    headroom: Option<&Headroom>,
    runtime_error: Option<&str>,
    before: &NodeStatus,
    now: Timestamp,
) -> Vec<NodeCondition> {
    let mut verdicts = pressures(headroom);
    verdicts.push(match runtime_error {
        None => ("Ready", true, "KubeletReady", "kubelet is posting ready status".to_string()),
        Some(error) => ("Ready", false, "KubeletNotReady", format!("container runtime is down: {error}")),
    });
    verdicts.into_iter().map(|verdict| condition(verdict, before, now)).collect()
}

fn pressures(headroom: Option<&Headroom>) -> Vec<Verdict> {
    let memory = headroom.is_some_and(Headroom::memory_pressure);
    let disk = headroom.is_some_and(Headroom::disk_pressure);
    let pids = headroom.is_some_and(|free| free.pids.0 >= free.pids.1);
    let pressure = |kind, holds, [has, no]: [&'static str; 2], what: &str| {
        let (reason, amount) = if holds { (has, "insufficient") } else { (no, "sufficient") };
        (kind, holds, reason, format!("kubelet has {amount} {what} available"))
    };
    let mut disk_verdict =
        pressure("DiskPressure", disk, ["KubeletHasDiskPressure", "KubeletHasNoDiskPressure"], "disk space");
    disk_verdict.3 = if disk { "kubelet has disk pressure" } else { "kubelet has no disk pressure" }.to_string();
    vec![
        pressure("MemoryPressure", memory, ["KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"], "memory"),
        disk_verdict,
        pressure("PIDPressure", pids, ["KubeletHasInsufficientPID", "KubeletHasSufficientPID"], "PID"),
    ]
}

fn condition((kind, holds, reason, message): Verdict, before: &NodeStatus, now: Timestamp) -> NodeCondition {
    let status = if holds { "True" } else { "False" };
    let since = before
        .conditions
        .iter()
        .flatten()
        .find(|old| old.type_ == kind && old.status == status)
        .and_then(|old| old.last_transition_time.clone());
    NodeCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(since.unwrap_or(Time(now))),
    }
}

/// Whether anything but heartbeats differs.
fn changed(before: &NodeStatus, after: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    still(before) != still(after)
}

async fn renew_lease(client: &Client, node: &str, node_uid: &str) -> Result<(), Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let renew_time = MicroTime(clock::now());
    let patch = Patch::Merge(json!({ "spec": { "renewTime": renew_time, "holderIdentity": node } }));
    match leases.patch(node, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        other => return other.map(|_| ()).map_err(Error::from),
    }
    leases.create(&PostParams::default(), &lease(node, node_uid, renew_time)).await?;
    Ok(())
}

fn lease(node: &str, node_uid: &str, renew_time: MicroTime) -> Lease {
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.into(),
        uid: node_uid.into(),
        ..OwnerReference::default()
    };
    Lease {
        metadata: ObjectMeta {
            name: Some(node.into()),
            namespace: Some(LEASE_NAMESPACE.into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.into()),
            lease_duration_seconds: Some(LEASE_DURATION.as_secs() as i32),
            renew_time: Some(renew_time),
            ..LeaseSpec::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn roomy() -> Headroom {
        let filesystem =
            crate::machine::Filesystem { capacity: 1000 << 20, available: 900 << 20, inodes: 1000, inodes_free: 900 };
        Headroom { memory_available: 4 << 30, filesystem, pids: (100, 32_768) }
    }

    fn summary(conditions: &[NodeCondition]) -> String {
        let line = |c: &NodeCondition| format!("{}={} {}", c.type_, c.status, c.reason.as_deref().unwrap_or(""));
        conditions.iter().map(line).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_roomy_node_is_ready_without_pressure() {
        let conditions = conditions(Some(&roomy()), None, &NodeStatus::default(), at(100));
        assert_eq!(
            summary(&conditions),
            "MemoryPressure=False KubeletHasSufficientMemory, DiskPressure=False KubeletHasNoDiskPressure, \
             PIDPressure=False KubeletHasSufficientPID, Ready=True KubeletReady"
        );
        assert_eq!(conditions[3].message.as_deref(), Some("kubelet is posting ready status"));
    }

    #[test]
    fn a_full_disk_and_a_dead_runtime_show() {
        let mut headroom = roomy();
        headroom.filesystem.available = 1 << 20;
        headroom.memory_available = 1 << 20;
        let conditions = conditions(Some(&headroom), Some("gone"), &NodeStatus::default(), at(100));
        assert_eq!(
            summary(&conditions),
            "MemoryPressure=True KubeletHasInsufficientMemory, DiskPressure=True KubeletHasDiskPressure, \
             PIDPressure=False KubeletHasSufficientPID, Ready=False KubeletNotReady"
        );
    }

    #[test]
    fn a_heartbeat_keeps_the_transition_time_and_is_no_change() {
        let status = |before: &NodeStatus, now| NodeStatus {
            conditions: Some(conditions(None, None, before, now)),
            ..NodeStatus::default()
        };
        let first = status(&NodeStatus::default(), at(100));
        let second = status(&first, at(200));
        assert_eq!(second.conditions.as_ref().unwrap()[3].last_transition_time, Some(Time(at(100))));
        assert!(!changed(&first, &second));
        assert!(changed(&NodeStatus::default(), &first));
    }

    #[test]
    fn allocatable_keeps_the_eviction_reserve_back() {
        let resources = allocatable(&Machine::simulated(4, 8 << 30), 110);
        assert_eq!(resources["memory"].0, format!("{}Ki", (8 << 20) - (100 << 10)));
        assert_eq!(resources["cpu"].0, "4");
        assert_eq!(resources["pods"].0, "110");
    }
}
