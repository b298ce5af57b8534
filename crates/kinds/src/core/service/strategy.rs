//! What writes of a Service keep: its status, and what was allocated for it.
//!
//! upstream: pkg/registry/core/service/strategy.go and storage.go (patchAllocatedValues)

use machinery::Object;
use serde_json::{Value, json};

use crate::def::keep_status;
use crate::tree::{int_of, str_of};

const HEADLESS: &str = "None";

pub fn prepare_create(service: &mut Object) {
    service.set(&["status"], json!({"loadBalancer": {}}));
    normalize_cluster_ips(service, None);
    default_families(service);
}

pub fn prepare_update(new: &mut Object, old: &Object) {
    keep_status(new, old);
    normalize_cluster_ips(new, Some(old));
    drop_what_another_type_needed(new, old);
    keep_allocations(new, old);
    default_families(new);
}

/// Keeps `clusterIP` and the first of `clusterIPs` the same, whichever of both a client writes.
fn normalize_cluster_ips(new: &mut Object, old: Option<&Object>) {
    let ip = new.str(&["spec", "clusterIP"]).to_owned();
    let ips = new.list(&["spec", "clusterIPs"]).to_vec();
    let Some(old) = old else {
        if !ip.is_empty() && ips.is_empty() {
            new.set(&["spec", "clusterIPs"], vec![Value::from(ip)]);
        }
        return;
    };
    let old_ip = old.str(&["spec", "clusterIP"]);
    let ips_unchanged = ips == old.list(&["spec", "clusterIPs"]);
    if ip.is_empty() && !old_ip.is_empty() && ips_unchanged {
        new.remove(&["spec", "clusterIPs"]);
    } else if !ip.is_empty() && ip != old_ip && ips_unchanged {
        new.set(&["spec", "clusterIPs"], vec![Value::from(ip)]);
    }
}

fn drop_what_another_type_needed(new: &mut Object, old: &Object) {
    let (to, from) = (of_type(new).to_owned(), of_type(old));
    let unchanged = |new: &Object, field: &str| new.get(&["spec", field]) == old.get(&["spec", field]);
    if from != "ExternalName" && to == "ExternalName" {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if unchanged(new, field) {
                new.remove(&["spec", field]);
            }
        }
    }
    if has_node_ports(from) && !has_node_ports(&to) {
        drop_node_ports(new, old);
    }
    if has_node_ports(from) && !has_node_ports(&to) && unchanged(new, "externalTrafficPolicy") {
        new.remove(&["spec", "externalTrafficPolicy"]);
    }
    if from == "LoadBalancer" && to != "LoadBalancer" && unchanged(new, "allocateLoadBalancerNodePorts") {
        new.remove(&["spec", "allocateLoadBalancerNodePorts"]);
    }
    if from == "ExternalName" && to != "ExternalName" && unchanged(new, "externalName") {
        new.remove(&["spec", "externalName"]);
    }
}

/// Node ports that the client did not change go with the type that needed them.
fn drop_node_ports(new: &mut Object, old: &Object) {
    let taken: Vec<i64> = old.list(&["spec", "ports"]).iter().map(|port| int_of(port, "nodePort")).collect();
    for port in ports_mut(new) {
        if taken.contains(&int_of(port, "nodePort")) {
            port.as_object_mut().into_iter().for_each(|port| drop(port.remove("nodePort")));
        }
    }
}

/// A client that leaves out what was allocated means to keep it.
fn keep_allocations(new: &mut Object, old: &Object) {
    if has_cluster_ip(of_type(new)) && has_cluster_ip(of_type(old)) {
        for field in ["clusterIP", "clusterIPs"] {
            if is_empty(new, field) {
                copy(new, old, field);
            }
        }
    }
    if has_node_ports(of_type(new)) && has_node_ports(of_type(old)) {
        keep_node_ports(new, old);
    }
    if needs_health_check_port(new) && needs_health_check_port(old) && is_empty(new, "healthCheckNodePort") {
        copy(new, old, "healthCheckNodePort");
    }
}

fn keep_node_ports(new: &mut Object, old: &Object) {
    let key = |port: &Value| (str_of(port, "protocol").to_owned(), int_of(port, "port"));
    let allocated = |port: &Value| {
        let same = old.list(&["spec", "ports"]).iter().find(|candidate| key(candidate) == key(port))?;
        same.get("nodePort").cloned()
    };
    let taken: Vec<i64> = new.list(&["spec", "ports"]).iter().map(|port| int_of(port, "nodePort")).collect();
    for port in ports_mut(new) {
        let free = |node_port: &Value| node_port.as_i64().is_some_and(|number| !taken.contains(&number));
        if int_of(port, "nodePort") == 0
            && let Some(node_port) = allocated(port).filter(free)
        {
            port["nodePort"] = node_port;
        }
    }
}

/// One family unless the client asks for more.
fn default_families(service: &mut Object) {
    if of_type(service) == "ExternalName" {
        return;
    }
    service.set_default(&["spec", "ipFamilyPolicy"], "SingleStack");
    if is_empty(service, "ipFamilies") {
        let ip = service.str(&["spec", "clusterIP"]);
        let family = if ip != HEADLESS && ip.contains(':') { "IPv6" } else { "IPv4" };
        service.set(&["spec", "ipFamilies"], json!([family]));
    }
}

fn ports_mut(service: &mut Object) -> impl Iterator<Item = &mut Value> {
    let ports = service.map_mut(&["spec"]).get_mut("ports").and_then(Value::as_array_mut);
    ports.into_iter().flatten()
}

fn copy(new: &mut Object, old: &Object, field: &str) {
    if let Some(value) = old.get(&["spec", field]) {
        new.set(&["spec", field], value.clone());
    }
}

fn is_empty(service: &Object, field: &str) -> bool {
    match service.get(&["spec", field]) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(value) => value == 0,
    }
}

pub fn of_type(service: &Object) -> &str {
    service.str(&["spec", "type"])
}

pub fn has_cluster_ip(of_type: &str) -> bool {
    matches!(of_type, "ClusterIP" | "NodePort" | "LoadBalancer")
}

pub fn has_node_ports(of_type: &str) -> bool {
    matches!(of_type, "NodePort" | "LoadBalancer")
}

pub fn needs_health_check_port(service: &Object) -> bool {
    of_type(service) == "LoadBalancer" && service.str(&["spec", "externalTrafficPolicy"]) == "Local"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Object {
        Object::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap()
    }

    fn allocated() -> Object {
        service(json!({"type": "NodePort", "clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "externalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]}))
    }

    #[test]
    fn what_a_client_leaves_out_is_kept() {
        let mut new = service(json!({"type": "NodePort", "externalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP"}]}));
        prepare_update(&mut new, &allocated());
        assert_eq!(new.get(&["spec"]), allocated().get(&["spec"]));
    }

    #[test]
    fn a_service_that_stops_needing_node_ports_loses_them() {
        let mut new = allocated();
        new.set(&["spec", "type"], "ClusterIP");
        prepare_update(&mut new, &allocated());
        assert_eq!(new.get(&["spec", "ports"]), Some(&json!([{"port": 80, "protocol": "TCP"}])));
        assert_eq!(new.get(&["spec", "externalTrafficPolicy"]), None);
        assert_eq!(new.str(&["spec", "clusterIP"]), "10.43.0.7");
    }

    #[test]
    fn an_external_name_needs_no_address() {
        let mut new = allocated();
        new.set(&["spec", "type"], "ExternalName");
        prepare_update(&mut new, &allocated());
        assert_eq!((new.get(&["spec", "clusterIP"]), new.get(&["spec", "clusterIPs"])), (None, None));
    }
}
