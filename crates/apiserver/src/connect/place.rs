//! Addresses of nodes and pods, read from their objects.

use std::net::IpAddr;

use machinery::{ApiError, Object};
use registry::service::join;
use serde_json::Value;

/// Where a node's API is when the node does not say.
const NODE_PORT_DEFAULT: i64 = 10250;

/// `host:port` of the node's own API.
pub fn node_address(node: &Object) -> Option<String> {
    let port = node.int(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).filter(|port| *port > 0);
    Some(join(&node_host(node)?, &port.unwrap_or(NODE_PORT_DEFAULT).to_string()))
}

/// The node's internal address.
pub fn node_host(node: &Object) -> Option<String> {
    let addresses = node.list(&["status", "addresses"]);
    let internal = addresses.iter().find(|address| text(address, "type") == "InternalIP")?;
    Some(text(internal, "address").to_owned())
}

/// Where a pod listens; without a port its first declared one.
pub fn pod_address(pod: &Object, port: &str) -> Result<String, ApiError> {
    let port = if port.is_empty() { first_port(pod) } else { port.to_owned() };
    let address = pod.list(&["status", "podIPs"]).first().map_or(pod.str(&["status", "podIP"]), |ip| text(ip, "ip"));
    let allowed =
        address.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast());
    if !allowed {
        return Err(ApiError::bad_request("address not allowed"));
    }
    Ok(join(address, if port.is_empty() { "80" } else { &port }))
}

fn first_port(pod: &Object) -> String {
    let containers = pod.list(&["spec", "containers"]);
    let mut ports = containers.iter().filter_map(|container| container.get("ports")?.get(0)?.get("containerPort"));
    ports.next().map(Value::to_string).unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn nodes_are_reached_at_their_internal_address() {
        let node = object(json!({"status": {
            "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.0.5"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10251}},
        }}));
        assert_eq!(node_address(&node).as_deref(), Some("10.0.0.5:10251"));
        let node = object(json!({"status": {"addresses": [{"type": "InternalIP", "address": "fd00::5"}]}}));
        assert_eq!(node_address(&node).as_deref(), Some("[fd00::5]:10250"));
        assert_eq!(node_address(&Object::default()), None);
    }

    #[test]
    fn pods_are_reached_at_their_first_port() {
        let pod = |ip: &str| {
            object(json!({
                "spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]},
                "status": {"podIPs": [{"ip": ip}]},
            }))
        };
        assert_eq!(pod_address(&pod("10.1.0.2"), "").unwrap(), "10.1.0.2:8080");
        assert_eq!(pod_address(&pod("10.1.0.2"), "81").unwrap(), "10.1.0.2:81");
        assert_eq!(pod_address(&pod("127.0.0.1"), "81").unwrap_err().message, "address not allowed");
    }
}
