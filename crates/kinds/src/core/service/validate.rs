//! Validation of Services.
//!
//! upstream: ValidateService in pkg/apis/core/validation

use std::collections::HashSet;

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{dns1123_label, dns1123_subdomain, port_number, qualified_name, validate_labels};
use serde_json::json;

use super::addresses::validate_cluster_ips;
use super::strategy::needs_health_check_port;
use crate::check::{At, is_cidr, one_of, optional_name, port_or_name, required_one_of, validate_ip};
use crate::core::special_address;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const TRAFFIC_POLICIES: &[&str] = &["Cluster", "Local"];
const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameNode", "PreferSameZone"];
const AFFINITY_SECONDS_MAX: i64 = 86_400;
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
pub const HEADLESS: &str = "None";

pub fn validate(service: &Object) -> ErrorList {
    let spec = At::field(service, "spec");
    let of_type = spec.child("type").text();
    let mut errors: ErrorList = validate_topology(service).into_iter().collect();
    errors.extend(validate_for_type(&spec, of_type));
    errors.extend(validate_ports(&spec));
    errors.extend(validate_labels(&spec.child("selector").strings(), &spec.child("selector").path));
    errors.extend(validate_affinity(&spec));
    errors.extend(validate_cluster_ips(&spec));
    errors.extend(validate_external_ips(&spec.child("externalIPs")));
    errors.extend(required_one_of(&spec.child("type"), TYPES));
    errors.extend(validate_node_ports(&spec, of_type));
    errors.extend(repeated_ports(&spec.child("ports").items()));
    errors.extend(validate_source_ranges(service, &spec, of_type));
    errors.extend(validate_load_balancer(&spec, of_type));
    errors.extend(validate_traffic(service, &spec));
    errors
}

fn validate_topology(service: &Object) -> Option<Error> {
    let (mode, hints) = (service.annotation(TOPOLOGY_MODE)?, service.annotation(TOPOLOGY_HINTS)?);
    let path = Path::new("metadata").child("annotations").key(TOPOLOGY_MODE);
    let text = format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified");
    (mode != hints).then(|| Error::invalid(&path, mode, text))
}

pub fn is_headless(spec: &At) -> bool {
    let ips = spec.child("clusterIPs").items();
    ips.len() == 1 && ips[0].text() == HEADLESS
}

fn validate_for_type(spec: &At, of_type: &str) -> ErrorList {
    let mut errors = ErrorList::new();
    let headless = is_headless(spec);
    if spec.child("ports").is_empty() && !headless && of_type != "ExternalName" {
        errors.push(spec.child("ports").required(""));
    }
    match of_type {
        "LoadBalancer" | "NodePort" if headless => {
            let first = spec.child("clusterIPs").index_path(0);
            errors.push(Error::invalid(&first, HEADLESS, format!("may not be set to 'None' for {of_type} services")));
        }
        "ExternalName" => errors.extend(validate_external_name(spec)),
        _ => {}
    }
    errors
}

fn validate_external_name(spec: &At) -> ErrorList {
    let denied = spec.set_children(&["clusterIPs", "ipFamilies", "ipFamilyPolicy"]).into_iter();
    let denied = denied.filter(|at| !at.is_empty());
    let mut errors: ErrorList = denied.map(|at| at.forbidden("may not be set for ExternalName services")).collect();
    let name = spec.child("externalName");
    errors.extend(match name.text().strip_suffix('.').unwrap_or(name.text()) {
        "" => vec![name.required("")],
        host => dns1123_subdomain(host).into_iter().map(|text| Error::invalid(&name.path, host, text)).collect(),
    });
    errors
}

fn validate_ports(spec: &At) -> ErrorList {
    let items = spec.child("ports").items();
    let mut errors = ErrorList::new();
    let mut names = HashSet::new();
    for port in &items {
        errors.extend(validate_name(&port.child("name"), items.len() > 1, &mut names));
        let number = port.child("port");
        errors.extend(number.messages(port_number(number.int().unwrap_or(0))));
        errors.extend(required_one_of(&port.child("protocol"), PROTOCOLS));
        errors.extend(port_or_name(&port.child("targetPort")));
        let protocol = port.child("appProtocol");
        errors.extend(protocol.is_set().then(|| protocol.check(qualified_name)).into_iter().flatten());
    }
    errors
}

fn validate_name<'a>(name: &At<'a>, required: bool, seen: &mut HashSet<&'a str>) -> ErrorList {
    if name.is_empty() {
        return if required { vec![name.required("")] } else { ErrorList::new() };
    }
    let mut errors = name.check(dns1123_label);
    errors.extend((!seen.insert(name.text())).then(|| name.duplicate()));
    errors
}

fn validate_node_ports(spec: &At, of_type: &str) -> ErrorList {
    let ports = spec.child("ports").items();
    let taken = ports.iter().map(|port| port.child("nodePort")).filter(|port| port.int().unwrap_or(0) != 0);
    let text = "may not be used when `type` is 'ClusterIP'";
    taken.filter(|_| of_type == "ClusterIP").map(|port| port.forbidden(text)).collect()
}

fn repeated_ports(items: &[At]) -> ErrorList {
    let (mut ports, mut node_ports) = (HashSet::new(), HashSet::new());
    let (mut errors, mut of_ports) = (ErrorList::new(), ErrorList::new());
    for port in items {
        let protocol = port.child("protocol").text();
        let (number, node_port) = (port.child("port").int().unwrap_or(0), port.child("nodePort"));
        let taken = node_port.int().unwrap_or(0);
        if taken != 0 && !node_ports.insert((protocol, taken)) {
            errors.push(node_port.duplicate());
        }
        if !ports.insert((protocol, number)) {
            of_ports.push(Error::duplicate(&port.path, json!({"port": number, "protocol": protocol})));
        }
    }
    errors.extend(of_ports);
    errors
}

fn validate_affinity(spec: &At) -> ErrorList {
    let (affinity, config) = (spec.child("sessionAffinity"), spec.child("sessionAffinityConfig"));
    let mut errors: ErrorList = required_one_of(&affinity, &["ClientIP", "None"]).into_iter().collect();
    match affinity.text() {
        "ClientIP" => errors.extend(validate_client_affinity(&config)),
        "None" if config.is_set() => {
            errors.push(config.forbidden("must not be set when session affinity is None"));
        }
        _ => {}
    }
    errors
}

fn validate_client_affinity(config: &At) -> Option<Error> {
    let seconds = config.child("clientIP").child("timeoutSeconds");
    for needed in [config, &config.child("clientIP"), &seconds] {
        if !needed.is_set() {
            return Some(needed.required("when session affinity type is ClientIP"));
        }
    }
    let text = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
    (!(1..=AFFINITY_SECONDS_MAX).contains(&seconds.int().unwrap_or(0))).then(|| seconds.invalid(text))
}

fn validate_external_ips(ips: &At) -> ErrorList {
    let check = |ip: &At| match validate_ip(ip) {
        Some(error) => vec![error],
        None => ip.messages(special_address(ip.text())),
    };
    ips.items().iter().flat_map(check).collect()
}

/// From where a load balancer may be reached: by field, or by an annotation that the field took the place of.
fn validate_source_ranges(service: &Object, spec: &At, of_type: &str) -> ErrorList {
    let ranges = spec.child("loadBalancerSourceRanges").at(spec.path.child("LoadBalancerSourceRanges"));
    let annotation = Path::new("metadata").child("annotations").key(SOURCE_RANGES);
    let mut errors = ErrorList::new();
    if !ranges.is_empty() {
        errors.extend((of_type != "LoadBalancer").then(|| ranges.forbidden(ONLY_LOAD_BALANCER)));
        for range in ranges.items() {
            let text = range.text().trim();
            errors.extend((!is_cidr(text)).then(|| Error::invalid(&range.path, text, CIDR)));
        }
    } else if let Some(ranges) = service.annotation(SOURCE_RANGES) {
        errors.extend((of_type != "LoadBalancer").then(|| Error::forbidden(&annotation, ONLY_LOAD_BALANCER)));
        let ranges = ranges.split(',').map(str::trim).filter(|_| !ranges.trim().is_empty());
        errors.extend(ranges.filter(|range| !is_cidr(range)).map(|range| Error::invalid(&annotation, range, CIDR)));
    }
    errors
}

fn validate_load_balancer(spec: &At, of_type: &str) -> ErrorList {
    let (allocate, class) = (spec.child("allocateLoadBalancerNodePorts"), spec.child("loadBalancerClass"));
    let mut errors = ErrorList::new();
    match (of_type == "LoadBalancer", allocate.is_set()) {
        (false, true) => errors.push(allocate.forbidden(ONLY_LOAD_BALANCER)),
        (true, false) => errors.push(Error::required(&Path::new(&allocate.name()), "")),
        _ => {}
    }
    if of_type == "LoadBalancer" {
        errors.extend(class.is_set().then(|| class.check(qualified_name)).into_iter().flatten());
    } else if class.is_set() {
        errors.push(class.forbidden(ONLY_LOAD_BALANCER));
    }
    errors
}

fn validate_traffic(service: &Object, spec: &At) -> ErrorList {
    let (external, internal) = (spec.child("externalTrafficPolicy"), spec.child("internalTrafficPolicy"));
    let of_type = spec.child("type").text();
    let balanced = matches!(of_type, "NodePort" | "LoadBalancer");
    let reachable = balanced || (of_type == "ClusterIP" && !spec.child("externalIPs").is_empty());
    let mut errors = ErrorList::new();
    if reachable {
        errors.extend(required_one_of(&external, TRAFFIC_POLICIES));
    } else if !external.is_empty() {
        errors.push(external.invalid("may only be set for externally-accessible services"));
    }
    errors.extend(validate_health_check(service, &spec.child("healthCheckNodePort")));
    if !internal.is_set() && (balanced || of_type == "ClusterIP") {
        errors.push(internal.required(""));
    }
    errors.extend(one_of(&internal, TRAFFIC_POLICIES));
    errors.extend(one_of(&spec.child("trafficDistribution"), DISTRIBUTIONS));
    errors
}

fn validate_health_check(service: &Object, port: &At) -> ErrorList {
    let number = port.int().unwrap_or(0);
    match (needs_health_check_port(service), number) {
        (false, 0) => ErrorList::new(),
        (false, _) => {
            let text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            vec![port.invalid(text)]
        }
        (true, 0) => vec![port.required("")],
        (true, number) => port.messages(port_number(number)),
    }
}

/// Addresses, families and the class of load balancer stay as long as the type needs them.
pub fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let mut errors = super::addresses::validate_update(&spec, &was);
    let balances = |spec: &At| spec.child("type").text() == "LoadBalancer";
    let class = spec.child("loadBalancerClass");
    if balances(&spec) && balances(&was) && class.value != was.child("loadBalancerClass").value {
        errors.push(class.invalid("may not change once set"));
    }
    let check = spec.child("healthCheckNodePort");
    let needed = needs_health_check_port(new) && needs_health_check_port(old);
    if needed && check.int() != was.child("healthCheckNodePort").int() {
        errors.push(check.forbidden("field is immutable"));
    }
    errors
}

/// What a load balancer reports.
pub fn validate_status_update(new: &Object, _: &Object) -> ErrorList {
    let ingress = At::field(new, "status").child("loadBalancer").child("ingress");
    if new.str(&["spec", "type"]) != "LoadBalancer" && !ingress.is_empty() {
        return vec![ingress.forbidden("may only be used when `spec.type` is 'LoadBalancer'")];
    }
    ingress.items().iter().flat_map(validate_ingress).collect()
}

fn validate_ingress(ingress: &At) -> ErrorList {
    let (ip, mode, host) = (ingress.child("ip"), ingress.child("ipMode"), ingress.child("hostname"));
    let mut errors: ErrorList = validate_ip(&ip).filter(|_| !ip.is_empty()).into_iter().collect();
    match (ip.is_empty(), mode.is_set()) {
        (false, false) => errors.push(mode.required("must be specified when `ip` is set")),
        (true, true) => errors.push(mode.forbidden("may not be specified when `ip` is not set")),
        _ => errors.extend(one_of(&mode, &["Proxy", "VIP"])),
    }
    errors.extend(optional_name(&host, dns1123_subdomain));
    if host.text().parse::<std::net::IpAddr>().is_ok() {
        errors.push(host.invalid("must be a DNS name, not an IP address"));
    }
    errors
}

/// upstream: pkg/api/service/warnings.go
pub fn warnings(service: &Object) -> Vec<String> {
    let spec = At::field(service, "spec");
    let mut warnings = Vec::new();
    let annotations = Path::new("metadata").child("annotations");
    if service.annotation(TOPOLOGY_HINTS).is_some() {
        let key = annotations.key(TOPOLOGY_HINTS);
        warnings.push(format!("{key}: deprecated in v1.27+; use {TOPOLOGY_MODE} instead"));
    }
    let external = spec.child("externalIPs");
    if is_headless(&spec) && !spec.child("loadBalancerIP").is_empty() {
        warnings.push("spec.loadBalancerIP is ignored when spec.type is \"ClusterIP\"".to_owned());
    }
    if spec.child("type").text() == "ExternalName" && !external.is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if is_headless(&spec) && spec.child("type").text() != "ExternalName" {
        if !external.is_empty() {
            warnings.push("spec.externalIPs is ignored when spec.clusterIP is \"None\"".to_owned());
        }
        if !matches!(spec.child("sessionAffinity").text(), "" | "None") {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn errors(spec: Value) -> Vec<String> {
        let mut service = Object::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap();
        super::super::default_service(&mut service);
        super::super::strategy::prepare_create(&mut service);
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
    fn addresses_families_and_policies_are_checked() {
        let with = |fields: Value| {
            let mut spec = json!({"ports": [{"port": 80}]});
            for (field, value) in fields.as_object().unwrap() {
                spec[field] = value.clone();
            }
            errors(spec)
        };
        let cases = [
            (
                json!({"clusterIP": "10.43.0.1", "clusterIPs": ["10.43.0.2"]}),
                r#"spec.clusterIPs: Invalid value: ["10.43.0.2"]: first value must match `clusterIP`"#,
            ),
            (
                json!({"clusterIP": "10.43.0.1", "clusterIPs": ["10.43.0.1", "10.43.0.2"]}),
                r#"spec.clusterIPs: Invalid value: ["10.43.0.1","10.43.0.2"]: may specify no more than one IP for each IP family"#,
            ),
            (
                json!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"], "ipFamilies": ["IPv4"]}),
                r#"spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`"#,
            ),
            (json!({"ipFamilies": ["IPv4", "IPv4"]}), r#"spec.ipFamilies[1]: Duplicate value: "IPv4""#),
            (
                json!({"externalIPs": ["127.0.0.1"]}),
                r#"spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
            ),
            (
                json!({"trafficDistribution": "Near"}),
                r#"spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", "PreferSameZone""#,
            ),
            (
                json!({"loadBalancerClass": "example.com/lb"}),
                "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
            ),
            (
                json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]}),
                "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
            ),
            (
                json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
                "spec.healthCheckNodePort: Required value",
            ),
            (
                json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}),
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400",
            ),
        ];
        for (fields, expected) in cases {
            assert_eq!(with(fields.clone()), [expected], "{fields}");
        }
    }

    #[test]
    fn the_first_address_stays_and_a_second_may_go() {
        let service = |ips: Value, policy: &str| {
            let spec = json!({"type": "ClusterIP", "clusterIP": ips[0], "clusterIPs": ips, "ipFamilyPolicy": policy});
            Object::from_value(json!({"spec": spec})).unwrap()
        };
        let old = service(json!(["10.43.0.1", "fd00::1"]), "PreferDualStack");
        let texts = |ips: Value, policy: &str| -> Vec<String> {
            validate_update(&service(ips, policy), &old).iter().map(ToString::to_string).collect()
        };
        assert_eq!(texts(json!(["10.43.0.1", "fd00::1"]), "PreferDualStack"), [""; 0]);
        assert_eq!(texts(json!(["10.43.0.1"]), "SingleStack"), [""; 0]);
        assert_eq!(
            texts(json!(["10.43.0.2"]), "PreferDualStack"),
            [
                r#"spec.clusterIPs[0]: Invalid value: ["10.43.0.2"]: may not change once set"#,
                r#"spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be set to 'SingleStack' when releasing the secondary clusterIP"#,
            ]
        );
    }

    #[test]
    fn what_a_load_balancer_reports_is_checked() {
        let texts = |of_type: &str, ingress: Value| -> Vec<String> {
            let service = json!({"spec": {"type": of_type}, "status": {"loadBalancer": {"ingress": [ingress]}}});
            let service = Object::from_value(service).unwrap();
            validate_status_update(&service, &service).iter().map(ToString::to_string).collect()
        };
        assert_eq!(texts("LoadBalancer", json!({"ip": "10.0.0.1", "ipMode": "VIP"})), [""; 0]);
        assert_eq!(
            texts("ClusterIP", json!({"ip": "10.0.0.1", "ipMode": "VIP"})),
            ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]
        );
        assert_eq!(
            texts("LoadBalancer", json!({"ip": "10.0.0.1"})),
            ["status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set"]
        );
    }
}
