//! What the kernel should do with service traffic, computed from Services and EndpointSlices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// `sessionAffinityConfig.clientIP.timeoutSeconds` when it is not said.
const AFFINITY_SECONDS: i32 = 10_800;

/// An address, a protocol's number and a port: what a packet is sent to.
pub type Frontend = (Ipv4Addr, u8, u16);

/// An endpoint's address and port.
pub type Backend = (Ipv4Addr, u16);

/// All rules of one node. Two of them are compared to find what to change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Chains that pick an endpoint, by name.
    pub balancers: BTreeMap<String, Balancer>,
    /// Chains of the endpoints that remember their clients, by [`sticky_name`].
    pub sticky: BTreeMap<String, Sticky>,
    /// Cluster IPs, external IPs and load balancer addresses, and the chain that each leads to.
    pub addresses: BTreeMap<Frontend, String>,
    pub node_ports: BTreeMap<(u8, u16), String>,
    /// Addresses without any endpoint: refused, so that clients do not wait.
    pub refused: BTreeSet<Frontend>,
    pub refused_node_ports: BTreeSet<(u8, u16)>,
}

/// Picks one of its endpoints for each new connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Balancer {
    pub endpoints: BTreeSet<Backend>,
    /// Clients stay with their endpoint.
    pub sticky: bool,
    /// Packets take the node's address, so that answers of pods elsewhere come back here.
    pub masquerade: bool,
}

/// One endpoint that keeps its clients until they are silent for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Sticky {
    pub endpoint: Backend,
    pub timeout: Duration,
}

/// The chain, and the set of clients, of one endpoint of a sticky balancer.
pub fn sticky_name(balancer: &str, (address, port): Backend) -> String {
    format!("{balancer}/{address}:{port}")
}

impl Rules {
    fn add_balancer(
        &mut self,
        name: String,
        endpoints: &BTreeSet<Backend>,
        affinity: Option<Duration>,
        masquerade: bool,
    ) {
        for (timeout, endpoint) in affinity.iter().flat_map(|timeout| endpoints.iter().map(move |of| (*timeout, of))) {
            self.sticky.insert(sticky_name(&name, *endpoint), Sticky { endpoint: *endpoint, timeout });
        }
        let balancer = Balancer { endpoints: endpoints.clone(), sticky: affinity.is_some(), masquerade };
        self.balancers.insert(name, balancer);
    }
}

/// Computes the rules of node `node`; `reserved` addresses are served on the node itself.
pub fn compile<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    node: &str,
    reserved: &[Ipv4Addr],
) -> Rules {
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices.into_iter().filter(|slice| slice.address_type == "IPv4") {
        let labels = slice.metadata.labels.as_ref();
        if let Some(service) = labels.and_then(|labels| labels.get("kubernetes.io/service-name")) {
            let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
            by_service.entry((namespace, service)).or_default().push(slice);
        }
    }
    let mut rules = Rules::default();
    for service in services {
        let key = (text(&service.metadata.namespace), text(&service.metadata.name));
        let slices = by_service.get(&key).map_or(&[][..], Vec::as_slice);
        for port in service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()) {
            add_port(&mut rules, service, port, slices, node, reserved);
        }
    }
    rules
}

fn add_port(
    rules: &mut Rules,
    service: &Service,
    port: &ServicePort,
    slices: &[&EndpointSlice],
    node: &str,
    reserved: &[Ipv4Addr],
) {
    let Some((protocol, number)) = protocol_number(port.protocol.as_deref()).zip(u16::try_from(port.port).ok()) else {
        return;
    };
    let spec = service.spec.clone().unwrap_or_default();
    let endpoints = Endpoints::of(slices, port, node);
    let name = |kind: &str| {
        let (namespace, service) = (text(&service.metadata.namespace), text(&service.metadata.name));
        format!("{kind}/{namespace}/{service}/{}/{number}", port.protocol.as_deref().unwrap_or("TCP").to_lowercase())
    };
    let affinity = affinity(&spec);

    let internal_local = spec.internal_traffic_policy.as_deref() == Some("Local");
    let internal = if internal_local { &endpoints.local } else { &endpoints.all };
    let cluster_ips = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let cluster_ips: BTreeSet<Ipv4Addr> =
        cluster_ips.filter_map(|ip| ip.parse().ok()).filter(|ip| !reserved.contains(ip)).collect();
    for ip in &cluster_ips {
        add_address(rules, (*ip, protocol, number), &name("svc"), &endpoints.all, internal);
    }
    if !cluster_ips.is_empty() && !internal.is_empty() {
        rules.add_balancer(name("svc"), internal, affinity, false);
    }

    let external_local = spec.external_traffic_policy.as_deref() == Some("Local");
    let external = if external_local { &endpoints.local } else { &endpoints.all };
    let external_ips = external_addresses(service, &spec);
    let node_port = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    for ip in &external_ips {
        add_address(rules, (*ip, protocol, number), &name("ext"), &endpoints.all, external);
    }
    if let Some(node_port) = node_port {
        if !external.is_empty() {
            rules.node_ports.insert((protocol, node_port), name("ext"));
        } else if endpoints.all.is_empty() {
            rules.refused_node_ports.insert((protocol, node_port));
        }
    }
    if (node_port.is_some() || !external_ips.is_empty()) && !external.is_empty() {
        rules.add_balancer(name("ext"), external, affinity, !external_local);
    }
}

/// Leads an address to its chain, or refuses it where there is no endpoint at all. With endpoints elsewhere
/// only, a local traffic policy lets packets fall through, as upstream does.
fn add_address(
    rules: &mut Rules,
    frontend: Frontend,
    chain: &str,
    all: &BTreeSet<Backend>,
    usable: &BTreeSet<Backend>,
) {
    if !usable.is_empty() {
        rules.addresses.insert(frontend, chain.to_owned());
    } else if all.is_empty() {
        rules.refused.insert(frontend);
    }
}

fn external_addresses(service: &Service, spec: &k8s_openapi::api::core::v1::ServiceSpec) -> BTreeSet<Ipv4Addr> {
    let balancer = service.status.iter().filter_map(|status| status.load_balancer.as_ref());
    let ingress = balancer.flat_map(|balancer| balancer.ingress.iter().flatten());
    let ingress = ingress.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
    let addresses = ingress.filter_map(|ingress| ingress.ip.as_ref()).chain(spec.external_ips.iter().flatten());
    addresses.filter_map(|ip| ip.parse().ok()).collect()
}

fn affinity(spec: &k8s_openapi::api::core::v1::ServiceSpec) -> Option<Duration> {
    (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let seconds = config.and_then(|config| config.timeout_seconds).unwrap_or(AFFINITY_SECONDS);
        Duration::from_secs(seconds.max(1).unsigned_abs().into())
    })
}

/// The endpoints of one service port that take new connections.
#[derive(Default)]
struct Endpoints {
    all: BTreeSet<Backend>,
    /// Those on this node.
    local: BTreeSet<Backend>,
}

impl Endpoints {
    /// Ready endpoints; where none is ready, those that still serve while they terminate. Both choices are
    /// made for the cluster and for the node apart.
    fn of(slices: &[&EndpointSlice], port: &ServicePort, node: &str) -> Self {
        let mut ready = Self::default();
        let mut serving = Self::default();
        for slice in slices {
            let Some(number) = target_port(slice, port) else { continue };
            for endpoint in &slice.endpoints {
                let into = match condition(endpoint) {
                    Condition::Ready => &mut ready,
                    Condition::Serving => &mut serving,
                    Condition::Out => continue,
                };
                let addresses = endpoint.addresses.iter().filter_map(|address| address.parse().ok());
                let addresses: Vec<Backend> = addresses.map(|address| (address, number)).collect();
                if endpoint.node_name.as_deref() == Some(node) {
                    into.local.extend(&addresses);
                }
                into.all.extend(&addresses);
            }
        }
        Self {
            all: if ready.all.is_empty() { serving.all } else { ready.all },
            local: if ready.local.is_empty() { serving.local } else { ready.local },
        }
    }
}

enum Condition {
    Ready,
    /// Terminating, but still answering.
    Serving,
    Out,
}

fn condition(endpoint: &Endpoint) -> Condition {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let terminating = conditions.terminating.unwrap_or(false);
    if ready {
        Condition::Ready
    } else if terminating && conditions.serving.unwrap_or(false) {
        Condition::Serving
    } else {
        Condition::Out
    }
}

fn target_port(slice: &EndpointSlice, port: &ServicePort) -> Option<u16> {
    let named = slice.ports.iter().flatten().find(|of| {
        text(&of.name) == text(&port.name)
            && of.protocol.as_deref().unwrap_or("TCP") == port.protocol.as_deref().unwrap_or("TCP")
    })?;
    u16::try_from(named.port?).ok()
}

/// The protocol's number in the IP header.
pub fn protocol_number(protocol: Option<&str>) -> Option<u8> {
    match protocol.unwrap_or("TCP") {
        "TCP" => Some(6),
        "UDP" => Some(17),
        "SCTP" => Some(132),
        _ => None,
    }
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}
