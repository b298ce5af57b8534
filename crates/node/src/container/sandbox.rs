//! The configuration of a pod's sandbox. Pure.

use std::collections::BTreeMap;

use containers::{PodMetadata, PortMapping, SandboxConfig};
use k8s_openapi::api::core::v1::{ContainerPort, Pod};

use super::dns::{self, ClusterDns, Resolv};
use crate::paths::Paths;
use crate::pod::spec;
use crate::resources;

pub const POD_NAME_LABEL: &str = "io.kubernetes.pod.name";
pub const POD_NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";
pub const POD_UID_LABEL: &str = "io.kubernetes.pod.uid";
pub const CONTAINER_NAME_LABEL: &str = "io.kubernetes.container.name";

/// The labels by which an agent finds a pod's sandboxes and containers again.
pub fn labels(pod: &Pod) -> BTreeMap<String, String> {
    [(POD_NAME_LABEL, spec::name(pod)), (POD_NAMESPACE_LABEL, spec::namespace(pod)), (POD_UID_LABEL, spec::uid(pod))]
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .into()
}

pub fn metadata(pod: &Pod, attempt: u32) -> PodMetadata {
    PodMetadata {
        namespace: spec::namespace(pod).into(),
        name: spec::name(pod).into(),
        uid: spec::uid(pod).into(),
        attempt,
    }
}

pub fn sandbox_config(pod: &Pod, attempt: u32, paths: &Paths, cluster: &ClusterDns, host: &Resolv) -> SandboxConfig {
    let spec = spec::spec(pod);
    let context = spec.security_context.as_ref();
    let sysctls = context.and_then(|context| context.sysctls.as_ref()).into_iter().flatten();
    let mut all_labels = pod.metadata.labels.clone().unwrap_or_default();
    all_labels.extend(labels(pod));
    let host_network = spec::host_network(pod);
    SandboxConfig {
        metadata: metadata(pod, attempt),
        hostname: dns::hostname(pod, &cluster.domain).0,
        resolv_conf: dns::resolv_conf(pod, cluster, host),
        log_directory: paths.pod_logs(pod),
        host_network,
        host_pid: spec.host_pid.unwrap_or(false),
        host_ipc: spec.host_ipc.unwrap_or(false),
        share_process_namespace: spec.share_process_namespace.unwrap_or(false),
        sysctls: sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
        cgroup_parent: resources::cgroup_parent(pod),
        resources: resources::of_pod(pod),
        port_mappings: if host_network { Vec::new() } else { port_mappings(pod) },
        labels: all_labels,
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
    }
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let containers = spec::containers(pod);
    let ports = containers.iter().flat_map(|(_, container)| container.ports.iter().flatten());
    ports.filter_map(port_mapping).collect()
}

fn port_mapping(port: &ContainerPort) -> Option<PortMapping> {
    let host_port = port.host_port.filter(|port| *port > 0)?;
    Some(PortMapping {
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
        container_port: u16::try_from(port.container_port).ok()?,
        host_port: u16::try_from(host_port).ok()?,
        host_ip: port.host_ip.as_deref().and_then(|ip| ip.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn a_sandbox_carries_the_pods_namespaces_ports_and_labels() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"app": "web"}},
            "spec": {"hostPID": true, "securityContext": {"sysctls": [{"name": "net.a", "value": "1"}]},
                "containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]}]}}))
        .unwrap();
        let config = sandbox_config(&pod, 2, &Paths::new(Path::new("/r")), &ClusterDns::default(), &Resolv::default());
        assert_eq!(config.metadata.attempt, 2);
        assert_eq!(config.log_directory, Path::new("/r/logs/pods/shop_web_u"));
        assert_eq!(config.labels["app"], "web");
        assert_eq!(config.labels[POD_UID_LABEL], "u");
        assert_eq!(config.port_mappings.len(), 1);
        assert_eq!((config.port_mappings[0].host_port, config.port_mappings[0].container_port), (8080, 80));
        assert!(config.host_pid && !config.host_network);
        assert_eq!(config.sysctls["net.a"], "1");
    }
}
