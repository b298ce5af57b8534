//! From a service and its pods to plain backends.

use std::net::IpAddr;
use std::sync::Arc;

use control::meta::Labels;
use control::{Informer, meta, pods};
use k8s_openapi::api::core::v1::{ContainerPort, Node, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

/// A port of a backend, as a slice shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    pub name: String,
    pub port: i32,
    pub protocol: String,
    pub app_protocol: Option<String>,
}

/// A pod behind a service. `target` names it, whatever its address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backend {
    pub address: String,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    pub node: Option<String>,
    pub zone: Option<String>,
    pub hostname: Option<String>,
    pub target: Option<ObjectReference>,
    pub ports: Vec<Port>,
}

/// Whether the service has endpoints of ours at all: those without a selector are filled by others.
pub fn is_managed(service: &Service) -> bool {
    let Some(spec) = &service.spec else { return false };
    spec.type_.as_deref() != Some("ExternalName") && spec.selector.as_ref().is_some_and(|pairs| !pairs.is_empty())
}

pub fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

pub fn publishes_unready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or_default()
}

/// `IPv4` and `IPv6`, as the service asks for.
pub fn families(service: &Service) -> Vec<String> {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    if families.is_empty() { vec!["IPv4".to_owned()] } else { families }
}

/// The pods of the service with an address of `family`.
pub fn backends(service: &Service, pods: &Informer<Pod>, nodes: &Informer<Node>, family: &str) -> Vec<Backend> {
    selected(service, pods).iter().filter_map(|pod| backend(service, pod, nodes, family)).collect()
}

fn selected(service: &Service, pods: &Informer<Pod>) -> Vec<Arc<Pod>> {
    let pairs = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
    let labels = Labels::pairs(&pairs);
    let mut found = pods.in_namespace(service.metadata.namespace.as_deref().unwrap_or_default());
    found.retain(|pod| labels.matches(&pod.metadata));
    found
}

fn backend(service: &Service, pod: &Pod, nodes: &Informer<Node>, family: &str) -> Option<Backend> {
    if pods::is_finished(pod) {
        return None;
    }
    let node = pods::node_name(pod);
    let (serving, terminating) = (pods::is_ready(pod), pods::is_terminating(pod));
    Some(Backend {
        address: address(pod, family)?,
        ready: publishes_unready(service) || (serving && !terminating),
        serving,
        terminating,
        node: node.map(str::to_owned),
        zone: node.and_then(|node| nodes.find("", node)).and_then(|node| zone(&node)),
        hostname: hostname(service, pod),
        target: Some(target(pod)),
        ports: ports(service, pod),
    })
}

fn address(pod: &Pod, family: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let listed = status.pod_ips.iter().flatten().map(|ip| &ip.ip);
    let of_family =
        |ip: &&String| matches!((ip.parse(), family), (Ok(IpAddr::V4(_)), "IPv4") | (Ok(IpAddr::V6(_)), "IPv6"));
    listed.chain(&status.pod_ip).find(of_family).cloned()
}

fn zone(node: &Node) -> Option<String> {
    meta::label(&node.metadata, "topology.kubernetes.io/zone").map(str::to_owned)
}

/// Pods with a hostname in the service's own subdomain are known by that name in DNS.
fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let named = spec.hostname.as_ref().filter(|name| !name.is_empty())?;
    (spec.subdomain == service.metadata.name).then(|| named.clone())
}

fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.namespace(),
        name: pod.metadata.name.clone(),
        uid: pod.uid(),
        ..ObjectReference::default()
    }
}

/// The service's ports as this pod serves them: a named target port may differ from pod to pod, or be absent.
fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let wanted = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let resolved = wanted.filter_map(|port| {
        Some(Port {
            name: port.name.clone().unwrap_or_default(),
            port: target_port(port, pod)?,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            app_protocol: port.app_protocol.clone(),
        })
    });
    resolved.collect()
}

fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) if name.is_empty() => Some(port.port),
        Some(IntOrString::String(name)) => named_port(pod, name, port.protocol.as_deref().unwrap_or("TCP")),
    }
}

fn named_port(pod: &Pod, name: &str, protocol: &str) -> Option<i32> {
    let spec = pod.spec.as_ref()?;
    let sidecars =
        spec.init_containers.iter().flatten().filter(|init| init.restart_policy.as_deref() == Some("Always"));
    let matches = |port: &&ContainerPort| {
        port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol
    };
    let mut ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    ports.find(matches).map(|port| port.container_port)
}
