//! What every part of the agent shares.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use containers::Runtime;
use control::{EventType, Informer, Informers, Recorder};
use k8s_openapi::api::core::v1::{Node as NodeObject, ObjectReference, Pod, Service};
use kube::Client;

use crate::config::AgentConfig;
use crate::container::dns::{ClusterDns, Resolv};
use crate::container::fields::Surroundings;
use crate::images::Images;
use crate::machine::Machine;
use crate::paths::Paths;
use crate::pod::spec::{self, Kind};
use crate::pod::status::NodeView;
use crate::references::References;

/// The node as its pods' workers see it.
pub struct Node {
    pub config: Arc<AgentConfig>,
    pub machine: Machine,
    pub paths: Paths,
    pub client: Client,
    pub runtime: Arc<dyn Runtime>,
    pub recorder: Recorder,
    /// Of all namespaces, for service variables.
    pub services: Informer<Service>,
    pub references: References,
    pub images: Images,
    pub cluster_dns: ClusterDns,
    /// The host's own resolv.conf.
    pub host_dns: Resolv,
    pub view: NodeView,
}

impl Node {
    pub fn new(config: Arc<AgentConfig>, machine: Machine, informers: &Informers) -> Node {
        let host_dns = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        Node {
            machine,
            paths: Paths::new(Path::new(&config.root_dir)),
            client: config.client.clone(),
            runtime: config.runtime.clone(),
            recorder: Recorder::new(config.client.clone(), "kubelet", &config.node_name),
            services: informers.get::<Service>(),
            references: References::new(config.client.clone()),
            images: Images::new(config.runtime.clone()),
            cluster_dns: ClusterDns { servers: config.cluster_dns.clone(), domain: config.cluster_domain.clone() },
            host_dns: Resolv::parse(&host_dns),
            view: NodeView { ip: config.node_ip, scheme: config.runtime.version().0 },
            config,
        }
    }

    /// What the downward API tells a pod with these addresses about where it runs.
    pub fn surroundings(&self, pod_ips: Vec<IpAddr>) -> Surroundings {
        let amount = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Surroundings {
            host_ip: self.config.node_ip,
            pod_ips,
            allocatable: [
                ("cpu", amount(self.machine.cpus * 1000)),
                ("memory", amount(self.machine.allocatable_memory())),
                ("ephemeral-storage", amount(self.machine.allocatable_storage())),
            ],
        }
    }

    /// Records an event of a pod, or of one of its containers.
    pub fn record(&self, pod: &Pod, container: Option<&str>, warning: bool, reason: &str, message: String) {
        let type_ = if warning { EventType::Warning } else { EventType::Normal };
        let field_path = container.map(|name| field_path(pod, name));
        let reference = ObjectReference { field_path, ..control::events::reference(pod) };
        self.recorder.event_ref(reference, type_, reason, message);
    }

    /// Records an event of the node itself; upstream refers to it by its name as uid.
    pub fn record_node(&self, reason: &str, message: &str) {
        let mut node = NodeObject::default();
        node.metadata.name = Some(self.config.node_name.clone());
        node.metadata.uid = Some(self.config.node_name.clone());
        self.recorder.normal(&node, reason, message);
    }
}

/// `spec.containers{web}`.
fn field_path(pod: &Pod, container: &str) -> String {
    let list = match spec::container(pod, container).map(|(kind, _)| kind) {
        Some(Kind::Init | Kind::Sidecar) => "initContainers",
        Some(Kind::Ephemeral) => "ephemeralContainers",
        Some(Kind::App) | None => "containers",
    };
    format!("spec.{list}{{{container}}}")
}
