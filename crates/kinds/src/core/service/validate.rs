//! Validation of Services.
//!
//! upstream: ValidateService in pkg/apis/core/validation

use std::collections::HashSet;

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain, port_number, qualified_name, validate_labels};
use serde_json::json;

use super::strategy::{has_cluster_ip, has_node_ports, needs_health_check_port};
use crate::check::{At, one_of, optional_name, port_or_name, required_one_of};
use crate::core::pod::validate::validate_ip;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const TRAFFIC_POLICIES: &[&str] = &["Cluster", "Local"];
const FAMILIES: &[&str] = &["IPv4", "IPv6"];
const FAMILY_POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
const AFFINITY_SECONDS_MAX: i64 = 86_400;
const NODE_AGENT_PORT: i64 = 10_250;
const HEADLESS: &str = "None";

pub fn validate(service: &Object) -> ErrorList {
    let spec = At::field(service, "spec");
    let of_type = spec.child("type").text();
    let mut errors: ErrorList = required_one_of(&spec.child("type"), TYPES).into_iter().collect();
    errors.extend(validate_for_type(&spec, of_type));
    errors.extend(validate_ports(&spec, of_type));
    let selector = spec.child("selector");
    let labels = selector.entries().iter().map(|(key, at)| ((*key).to_owned(), at.text().to_owned())).collect();
    errors.extend(validate_labels(&labels, &selector.path));
    errors.extend(validate_affinity(&spec));
    errors.extend(validate_addresses(&spec, of_type));
    errors.extend(validate_traffic(service, &spec));
    errors
}

fn validate_for_type(spec: &At, of_type: &str) -> ErrorList {
    let (first, name) = (spec.child("clusterIPs").index_path(0), spec.child("externalName"));
    let headless = spec.child("clusterIP").text() == HEADLESS;
    let mut errors = ErrorList::new();
    match of_type {
        "LoadBalancer" | "NodePort" if headless => {
            errors.push(Error::invalid(&first, HEADLESS, format!("may not be set to 'None' for {of_type} services")));
        }
        "ExternalName" => {
            if !spec.child("clusterIP").is_empty() || !spec.child("clusterIPs").is_empty() {
                errors.push(spec.child("clusterIPs").forbidden("may not be set when `type` is 'ExternalName'"));
            }
            let host = name.text().strip_suffix('.').unwrap_or(name.text());
            errors.extend(match host {
                "" => vec![name.required("")],
                host => name.messages(dns1123_subdomain(host)),
            });
        }
        _ => {}
    }
    errors
}

fn validate_ports(spec: &At, of_type: &str) -> ErrorList {
    let ports = spec.child("ports");
    let items = ports.items();
    let headless = spec.child("clusterIP").text() == HEADLESS;
    let mut errors = ErrorList::new();
    if items.is_empty() && !headless && of_type != "ExternalName" {
        errors.push(ports.required(""));
    }
    let mut names = HashSet::new();
    for port in &items {
        errors.extend(validate_name(&port.child("name"), items.len() > 1, &mut names));
        errors.extend(validate_port(port, of_type));
    }
    errors.extend(repeated_ports(&items));
    errors
}

fn validate_name<'a>(name: &At<'a>, required: bool, seen: &mut HashSet<&'a str>) -> ErrorList {
    if name.is_empty() {
        return if required { vec![name.required("")] } else { ErrorList::new() };
    }
    let mut errors = name.check(dns1123_label);
    if !seen.insert(name.text()) {
        errors.push(name.duplicate());
    }
    errors
}

fn validate_port(port: &At, of_type: &str) -> ErrorList {
    let (number, node_port) = (port.child("port"), port.child("nodePort"));
    let mut errors = number.messages(port_number(number.int().unwrap_or(0)));
    errors.extend(required_one_of(&port.child("protocol"), PROTOCOLS));
    errors.extend(port_or_name(&port.child("targetPort")));
    errors.extend(optional_name(&port.child("appProtocol"), qualified_name));
    let taken = node_port.int().unwrap_or(0);
    if taken != 0 && !has_node_ports(of_type) {
        errors.push(node_port.forbidden(format!("may not be used when `type` is '{of_type}'")));
    } else if taken != 0 {
        errors.extend(node_port.messages(port_number(taken)));
    }
    if of_type == "LoadBalancer" && number.int() == Some(NODE_AGENT_PORT) {
        let text = format!("may not expose port {NODE_AGENT_PORT} externally since it is used by kubelet");
        errors.push(number.invalid(text));
    }
    errors
}

fn repeated_ports(items: &[At]) -> ErrorList {
    let (mut ports, mut node_ports) = (HashSet::new(), HashSet::new());
    let mut errors = ErrorList::new();
    for port in items {
        let protocol = port.child("protocol").text();
        let (number, node_port) = (port.child("port").int().unwrap_or(0), port.child("nodePort"));
        let taken = node_port.int().unwrap_or(0);
        if taken != 0 && !node_ports.insert((protocol, taken)) {
            errors.push(node_port.duplicate());
        }
        if !ports.insert((protocol, number)) {
            errors.push(Error::duplicate(&port.path, json!({"port": number, "protocol": protocol})));
        }
    }
    errors
}

fn validate_affinity(spec: &At) -> ErrorList {
    let affinity = spec.child("sessionAffinity");
    let mut errors: ErrorList = required_one_of(&affinity, &["ClientIP", "None"]).into_iter().collect();
    let seconds = spec.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
    let out_of_range = seconds.int().is_some_and(|seconds| !(1..=AFFINITY_SECONDS_MAX).contains(&seconds));
    if affinity.text() == "ClientIP" && out_of_range {
        let text = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
        errors.push(seconds.invalid(text));
    }
    errors
}

fn validate_addresses(spec: &At, of_type: &str) -> ErrorList {
    let (ip, ips) = (spec.child("clusterIP"), spec.child("clusterIPs"));
    let mut errors = ErrorList::new();
    if has_cluster_ip(of_type) {
        let items = ips.items();
        let first = items.first().map_or("", |at| at.text());
        if !items.is_empty() && ip.is_empty() {
            errors.push(ips.forbidden("may not be specified if `clusterIP` is not specified"));
        } else if !items.is_empty() && first != ip.text() {
            errors.push(ips.invalid("first value must match `clusterIP`"));
        }
        errors.extend(items.iter().filter(|at| at.text() != HEADLESS).filter_map(validate_ip));
    }
    errors.extend(spec.child("externalIPs").items().iter().filter_map(validate_ip));
    for family in spec.child("ipFamilies").items() {
        errors.extend(one_of(&family, FAMILIES));
    }
    errors.extend(one_of(&spec.child("ipFamilyPolicy"), FAMILY_POLICIES));
    errors
}

fn validate_traffic(service: &Object, spec: &At) -> ErrorList {
    let (external, internal) = (spec.child("externalTrafficPolicy"), spec.child("internalTrafficPolicy"));
    let of_type = spec.child("type").text();
    let reachable = has_node_ports(of_type) || (of_type == "ClusterIP" && !spec.child("externalIPs").is_empty());
    let mut errors = ErrorList::new();
    if reachable {
        errors.extend(required_one_of(&external, TRAFFIC_POLICIES));
    } else if !external.is_empty() {
        errors.push(external.invalid("may only be set for externally-accessible services"));
    }
    if has_cluster_ip(of_type) {
        errors.extend(one_of(&internal, TRAFFIC_POLICIES));
    }
    let check = spec.child("healthCheckNodePort");
    if check.int().unwrap_or(0) != 0 && !needs_health_check_port(service) {
        let text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(check.invalid(text));
    }
    errors
}

/// An address stays once it is given, as long as the type needs one.
pub fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let needs_ip = |spec: &At| has_cluster_ip(spec.child("type").text());
    let old_ip = was.child("clusterIP").text();
    if !needs_ip(&spec) || !needs_ip(&was) || old_ip.is_empty() {
        return ErrorList::new();
    }
    let path = spec.child("clusterIPs").index_path(0);
    match spec.child("clusterIP").text() {
        "" => vec![Error::invalid(&path, "", "primary clusterIP can not be unset")],
        ip if ip != old_ip => vec![Error::invalid(&path, ip, "may not change once set")],
        _ => ErrorList::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn errors(spec: Value) -> Vec<String> {
        let mut service = Object::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap();
        super::super::default_service(&mut service);
        validate(&service).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn services_are_checked() {
        let port = json!([{"port": 80}]);
        let cases = [
            (json!({"ports": port}), vec![]),
            (json!({"clusterIP": "None"}), vec![]),
            (json!({}), vec!["spec.ports: Required value"]),
            (
                json!({"type": "X", "ports": port}),
                vec![
                    r#"spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
                ],
            ),
            (json!({"ports": [{"port": 80}, {"port": 81, "name": "b"}]}), vec!["spec.ports[0].name: Required value"]),
            (
                json!({"ports": [{"port": 0, "targetPort": "http"}]}),
                vec!["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
            ),
            (
                json!({"ports": [{"port": 80, "nodePort": 30000}]}),
                vec!["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
            ),
            (
                json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}),
                vec![r#"spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}"#],
            ),
            (json!({"type": "ExternalName"}), vec!["spec.externalName: Required value"]),
            (
                json!({"type": "NodePort", "clusterIP": "None", "ports": port}),
                vec![r#"spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services"#],
            ),
            (
                json!({"ports": port, "externalTrafficPolicy": "Local"}),
                vec![
                    r#"spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services"#,
                ],
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(errors(spec.clone()), expected, "{spec}");
        }
    }

    #[test]
    fn an_address_stays() {
        let service = |ip: &str| Object::from_value(json!({"spec": {"type": "ClusterIP", "clusterIP": ip}})).unwrap();
        let texts = |ip: &str| -> Vec<String> {
            validate_update(&service(ip), &service("10.43.0.1")).iter().map(ToString::to_string).collect()
        };
        assert_eq!(texts("10.43.0.1"), [""; 0]);
        assert_eq!(texts("10.43.0.2"), [r#"spec.clusterIPs[0]: Invalid value: "10.43.0.2": may not change once set"#]);
    }
}
