//! What a Service asks for and holds.

use std::net::Ipv4Addr;

use machinery::Object;
use serde_json::Value;

/// The address and the node ports that a Service names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub address: Option<Ipv4Addr>,
    pub ports: Vec<u16>,
}

impl Claims {
    pub fn of(service: &Object) -> Self {
        let first = service.list(&["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or_default();
        let address = match service.str(&["spec", "clusterIP"]) {
            "" => first,
            address => address,
        };
        let ports = service.list(&["spec", "ports"]).iter().filter_map(|port| port["nodePort"].as_u64());
        let health = service.int(&["spec", "healthCheckNodePort"]).map(|port| port as u64);
        Self {
            address: address.parse().ok(),
            ports: ports.chain(health).filter_map(|port| u16::try_from(port).ok()).filter(|port| *port != 0).collect(),
        }
    }

    /// What is here and not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        Self {
            address: self.address.filter(|address| other.address != Some(*address)),
            ports: self.ports.iter().filter(|port| !other.ports.contains(port)).copied().collect(),
        }
    }
}

fn of_type(service: &Object) -> &str {
    service.str(&["spec", "type"])
}

pub(super) fn needs_address(service: &Object) -> bool {
    of_type(service) != "ExternalName" && service.str(&["spec", "clusterIP"]) != "None"
}

pub(super) fn may_have_node_ports(service: &Object) -> bool {
    matches!(of_type(service), "NodePort" | "LoadBalancer")
}

/// Whether each port needs one; otherwise only those that ask for one get it.
pub(super) fn needs_node_ports(service: &Object) -> bool {
    let waived = service.get(&["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
    may_have_node_ports(service) && !(of_type(service) == "LoadBalancer" && waived)
}

pub(super) fn needs_health_check_port(service: &Object) -> bool {
    of_type(service) == "LoadBalancer" && service.str(&["spec", "externalTrafficPolicy"]) == "Local"
}
