//! Addresses of nodes and pods, read from their objects.

use std::net::IpAddr;

use machinery::{ApiError, Object};
use registry::service::join;
use serde_json::Value;

use super::forward::Secure;
use super::target::Target;

/// Where a node's API is when the node does not say.
const NODE_PORT_DEFAULT: i64 = 10250;

/// `host:port` of the node's own API.
pub fn node_address(node: &Object) -> Result<String, ApiError> {
    Ok(join(node_host(node)?, &node_port(node).to_string()))
}

fn node_port(node: &Object) -> i64 {
    let port = node.int(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]);
    port.filter(|port| *port > 0).unwrap_or(NODE_PORT_DEFAULT)
}

/// The node's internal address.
fn node_host(node: &Object) -> Result<&str, ApiError> {
    let addresses = node.list(&["status", "addresses"]);
    let internal = addresses.iter().find(|address| text(address, "type") == "InternalIP");
    let none = || ApiError::internal(format!("no preferred addresses found for node {:?}", node.name()));
    Ok(text(internal.ok_or_else(none)?, "address"))
}

/// Where a request goes that is proxied to a node: to its own API, or to another port, where somebody else may be.
pub fn on_node(node: &Object, target: &Target) -> Result<(String, Secure), ApiError> {
    let host = node_host(node)?;
    if target.port.is_empty() || target.port == node_port(node).to_string() {
        return Ok((node_address(node)?, Secure::Node));
    }
    Ok((join(allowed(host)?, &target.port), Secure::proxied(target.tls)))
}

/// Where a pod listens; without a port its first declared one.
pub fn pod_address(pod: &Object, port: &str) -> Result<String, ApiError> {
    let port = if port.is_empty() { first_port(pod) } else { port.to_owned() };
    let address = pod.list(&["status", "podIPs"]).first().map_or(pod.str(&["status", "podIP"]), |ip| text(ip, "ip"));
    Ok(join(allowed(address)?, if port.is_empty() { "80" } else { &port }))
}

/// The pod in this namespace that an endpoint says it is.
pub fn pod_of_endpoint<'a>(endpoint: &'a Value, namespace: &str) -> Option<&'a str> {
    let target = endpoint.get("targetRef").filter(|target| text(target, "namespace") == namespace)?;
    Some(text(target, "name"))
}

/// Whether the pod has the address that an endpoint tells first.
pub fn is_of_pod(endpoint: &Value, pod: &Object) -> bool {
    let address = endpoint["addresses"][0].as_str().unwrap_or_default();
    allowed(address).is_ok() && pod.list(&["status", "podIPs"]).iter().any(|ip| text(ip, "ip") == address)
}

/// No address that means something else to the server than to others. (upstream: Go's IsGlobalUnicast)
fn allowed(address: &str) -> Result<&str, ApiError> {
    let ip: Option<IpAddr> = address.parse().ok();
    let global = ip.map(|ip| ip.to_canonical()).is_some_and(|ip| {
        let local = match ip {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        !local && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()
    });
    if global { Ok(address) } else { Err(ApiError::bad_request("address not allowed")) }
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
        assert_eq!(node_address(&node).unwrap(), "10.0.0.5:10251");
        let node = object(json!({"status": {"addresses": [{"type": "InternalIP", "address": "fd00::5"}]}}));
        assert_eq!(node_address(&node).unwrap(), "[fd00::5]:10250");
        assert_eq!(
            node_address(&object(json!({"metadata": {"name": "n1"}}))).unwrap_err().message,
            "Internal error occurred: no preferred addresses found for node \"n1\""
        );
    }

    #[test]
    fn the_server_shows_who_it_is_to_the_api_of_a_node_alone() {
        let node = object(json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.5"}]}}));
        for (target, expected) in [
            ("n1", "10.0.0.5:10250 as itself"),
            ("http:n1:10250", "10.0.0.5:10250 as itself"),
            ("https:n1:", "10.0.0.5:10250 as itself"),
            ("https:n1:6443", "10.0.0.5:6443 as nobody"),
            ("n1:9100", "10.0.0.5:9100 without TLS"),
        ] {
            let (address, secure) = on_node(&node, &Target::parse(target).unwrap()).unwrap();
            let how = match secure {
                Secure::Node => "as itself",
                Secure::Anyone => "as nobody",
                Secure::Not => "without TLS",
                Secure::As { .. } => "as another",
            };
            assert_eq!(format!("{address} {how}"), expected, "{target}");
        }
    }

    #[test]
    fn an_endpoint_is_a_pod_if_the_pod_has_its_address() {
        let pod = object(json!({"status": {"podIPs": [{"ip": "10.1.0.2"}, {"ip": "169.254.169.254"}]}}));
        let target = json!({"kind": "Pod", "namespace": "ns", "name": "web"});
        for (endpoint, is_pod) in [
            (json!({"addresses": ["10.1.0.2"], "targetRef": target}), true),
            (json!({"addresses": ["10.1.0.3"], "targetRef": target}), false),
            (json!({"addresses": ["169.254.169.254"], "targetRef": target}), false),
            (json!({"addresses": ["10.1.0.2"], "targetRef": {"namespace": "other", "name": "web"}}), false),
            (json!({"addresses": ["10.1.0.2"]}), false),
        ] {
            let found =
                pod_of_endpoint(&endpoint, "ns").is_some_and(|name| name == "web") && is_of_pod(&endpoint, &pod);
            assert_eq!(found, is_pod, "{endpoint}");
        }
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
        let refused =
            ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254", "fe80::1", "224.0.0.1", "web", ""];
        for ip in refused {
            assert_eq!(pod_address(&pod(ip), "81").unwrap_err().message, "address not allowed", "{ip}");
        }
    }
}
