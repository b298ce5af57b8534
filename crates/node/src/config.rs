//! What the agent is told, and the errors it can end with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use containers::Runtime;
use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, json};

use crate::machine::Machine;

/// How many pods a node takes when nothing else is said, as upstream.
pub const DEFAULT_MAX_PODS: u32 = 110;
/// Where upstream's kubelet serves its API.
pub const DEFAULT_PORT: u16 = 10250;
/// How often the node's lease is renewed.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(10);
/// How long a lease holds without being renewed.
pub const LEASE_DURATION: Duration = Duration::from_secs(40);
/// How often the node's status is sent although nothing changed.
pub const STATUS_REPORT: Duration = Duration::from_secs(300);
/// How often the machine is looked at for pressure and new images; the kernel has no event for either.
pub const STATUS_CHECK: Duration = Duration::from_secs(10);

/// Everything an agent needs to know.
#[derive(Clone)]
pub struct AgentConfig {
    /// Speaks as `system:node:NAME`.
    pub client: kube::Client,
    pub runtime: Arc<dyn Runtime>,
    pub node_name: String,
    pub node_ip: IpAddr,
    /// Where pods' volumes, hosts files and logs are kept.
    pub root_dir: PathBuf,
    /// Port of the node's own API; 0 lets the kernel choose. The Node object names the real one.
    pub port: u16,
    /// Must verify client certificates against the cluster's CA. Without it the API is not served.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Nameservers of pods with `dnsPolicy: ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    pub cluster_domain: String,
    /// Added to the labels every node has.
    pub labels: BTreeMap<String, String>,
    /// Given to the Node when it is made.
    pub taints: Vec<Taint>,
    /// On a machine of the control plane: the client that gives the Node the label of that role.
    /// A node may not give itself one, so this is not the node's own client.
    pub control_plane: Option<kube::Client>,
    pub max_pods: u32,
    /// What the Node says about the machine; `None` reads the host.
    pub machine: Option<Machine>,
}

impl AgentConfig {
    /// What upstream's kubelet would be configured to, as far as there is something to choose.
    pub fn configz(&self) -> Value {
        let seconds = |of: Duration| format!("{}s", of.as_secs());
        json!({"kubeletconfig": {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "enableServer": self.tls.is_some(),
            "port": self.port,
            "maxPods": self.max_pods,
            "clusterDomain": self.cluster_domain,
            "clusterDNS": self.cluster_dns,
            "registerWithTaints": self.taints,
            "nodeLeaseDurationSeconds": LEASE_DURATION.as_secs(),
            "nodeStatusUpdateFrequency": seconds(STATUS_CHECK),
            "nodeStatusReportFrequency": seconds(STATUS_REPORT),
        }})
    }

    /// A configuration with upstream's defaults for everything but the four things that have none.
    pub fn new(client: kube::Client, runtime: Arc<dyn Runtime>, node_name: &str, node_ip: IpAddr) -> AgentConfig {
        AgentConfig {
            client,
            runtime,
            node_name: node_name.to_string(),
            node_ip,
            root_dir: PathBuf::from("/var/lib/keelson/node"),
            port: DEFAULT_PORT,
            tls: None,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_string(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            control_plane: None,
            max_pods: DEFAULT_MAX_PODS,
            machine: None,
        }
    }
}

/// Why an agent could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
    #[error("reading the machine: {0}")]
    Machine(#[from] procfs::ProcError),
    #[error("the API: {0}")]
    Api(#[source] Box<kube::Error>),
    #[error("the container runtime: {0}")]
    Runtime(#[from] containers::Error),
    #[error("the node's certificate: {0}")]
    Tls(String),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        Error::Api(Box::new(error))
    }
}
