//! A pod as the scheduler sees it, worked out once.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec, Toleration};
use k8s_openapi::jiff::Timestamp;
use machinery::selector::LabelSelector;

use crate::resources::{Resources, pod_requests, scored_requests};

/// A port of the node that a pod wants for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub protocol: String,
    pub port: i32,
    /// `0.0.0.0`: all of the node's addresses.
    pub address: String,
}

impl HostPort {
    pub fn conflicts(&self, other: &Self) -> bool {
        const ALL: &str = "0.0.0.0";
        let addresses = self.address == other.address || self.address == ALL || other.address == ALL;
        addresses && self.port == other.port && self.protocol == other.protocol
    }
}

#[derive(Clone, Debug)]
pub struct PodInfo {
    pub pod: Arc<Pod>,
    pub uid: String,
    pub requests: Resources,
    /// Requests with upstream's defaults, for scores: thousandths of a core, and bytes.
    pub scored: (i64, i64),
    pub host_ports: Vec<HostPort>,
    /// It has a say about pods near it.
    pub has_affinity: bool,
}

impl PodInfo {
    pub fn new(pod: Arc<Pod>) -> Self {
        let requests = pod_requests(&pod);
        let scored = scored_requests(&pod, &requests);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let host_ports = pod.spec.iter().flat_map(host_ports).collect();
        let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
        let has_affinity = affinity.is_some_and(|of| of.pod_affinity.is_some() || of.pod_anti_affinity.is_some());
        Self { pod, uid, requests, scored, host_ports, has_affinity }
    }

    pub fn spec(&self) -> &PodSpec {
        static NONE: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.pod.spec.as_ref().unwrap_or(&NONE)
    }

    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.pod.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    pub fn tolerations(&self) -> &[Toleration] {
        self.spec().tolerations.as_deref().unwrap_or_default()
    }

    pub fn priority(&self) -> i32 {
        self.spec().priority.unwrap_or(0)
    }

    pub fn created(&self) -> Timestamp {
        self.pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
    }

    /// Gates that hold the pod back, by name.
    pub fn gates(&self) -> Vec<&str> {
        self.spec().scheduling_gates.iter().flatten().map(|gate| gate.name.as_str()).collect()
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let init = spec.init_containers.iter().flatten().filter(|of| of.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(init).flat_map(|container| container.ports.iter().flatten());
    let wanted = ports.filter_map(|port| {
        Some(HostPort {
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port: port.host_port.filter(|port| *port > 0)?,
            address: port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned()),
        })
    });
    wanted.collect()
}

/// A `metav1.LabelSelector` compiled; an absent one selects nothing.
pub fn selector(of: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector>) -> LabelSelector {
    let value = of.and_then(|selector| serde_json::to_value(selector).ok());
    value.and_then(|value| LabelSelector::from_object(&value).ok()).unwrap_or_else(LabelSelector::nothing)
}
