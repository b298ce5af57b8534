//! Ingresses, network policies and endpoint slices.

use serde_json::{Value, json};

use super::check;

#[test]
fn networking() {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let rule = |path: Value| json!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [path]}}]}});
    check(
        "networking.k8s.io",
        vec![
            ("ingresses", rule(json!({"path": "/", "pathType": "Prefix", "backend": backend})), vec![]),
            (
                "ingresses",
                rule(json!({"path": "x", "pathType": "Exact", "backend": {}})),
                vec![
                    r#"spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path"#,
                    r#"spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required"#,
                ],
            ),
            (
                "networkpolicies",
                json!({"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}, {}]}]}}),
                vec![
                    r#"spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`"#,
                    "spec.ingress[0].from[1]: Required value: must specify a peer",
                ],
            ),
            (
                "ingressclasses",
                json!({"spec": {"controller": "x"}}),
                vec![r#"spec.controller: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")"#],
            ),
        ],
    );
    check(
        "discovery.k8s.io",
        vec![(
            "endpointslices",
            json!({"addressType": "IPv4", "endpoints": [{"addresses": []}, {"addresses": ["fd00::1"]}]}),
            vec![
                "endpoints[0].addresses: Required value: must contain at least 1 address",
                r#"endpoints[1].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address"#,
            ],
        )],
    );
}

#[test]
fn ingresses_and_classes() {
    let backend =
        |name: &str, port: Value| json!({"spec": {"defaultBackend": {"service": {"name": name, "port": port}}}});
    check(
        "networking.k8s.io",
        vec![
            (
                "ingresses",
                json!({"spec": {}}),
                vec!["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
            ),
            (
                "ingresses",
                backend("web", json!({"name": "http", "number": 80})),
                vec![r#"spec.defaultBackend: Invalid value: "": cannot set both port name & port number"#],
            ),
            (
                "ingresses",
                backend("", json!({})),
                vec![
                    "spec.defaultBackend.service.name: Required value",
                    "spec.defaultBackend: Required value: port name or number is required",
                ],
            ),
            (
                "ingresses",
                json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}}, "spec": {"ingressClassName": "b",
                    "defaultBackend": {"resource": {"kind": "Bucket"}}}}),
                vec![
                    "spec.defaultBackend.resource.name: Required value",
                    r#"annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are specified"#,
                ],
            ),
            (
                "ingressclasses",
                json!({"spec": {"controller": "a.b/c", "parameters": {"kind": "A", "name": "b", "scope": "Namespace"}}}),
                vec!["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
            ),
            (
                "networkpolicies",
                json!({"spec": {"ingress": [{"ports": [{"endPort": 80}, {"port": "web", "endPort": 80}, {"port": 90, "endPort": 80}]}]}}),
                vec![
                    "spec.ingress[0].ports[0].endPort: Invalid value: 80: may not be specified when `port` is not specified",
                    "spec.ingress[0].ports[1].endPort: Invalid value: 80: may not be specified when `port` is non-numeric",
                    "spec.ingress[0].ports[2].endPort: Invalid value: 80: must be greater than or equal to `port`",
                ],
            ),
            (
                "networkpolicies",
                json!({"spec": {"policyTypes": ["Both"]}}),
                vec![r#"spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress""#],
            ),
        ],
    );
}

#[test]
fn ranges_and_addresses_stay_what_they_are() {
    let range = |cidrs: &[&str]| json!({"metadata": {"name": "r"}, "spec": {"cidrs": cidrs}});
    let address = |name: &str| json!({"spec": {"parentRef": {"resource": "services", "namespace": "a", "name": name}}});
    check(
        "networking.k8s.io",
        vec![
            ("servicecidrs", range(&["10.0.0.0/24", "fd00::/64"]), vec![]),
            ("servicecidrs", range(&[]), vec!["spec.cidrs: Required value: at least one CIDR required"]),
            (
                "servicecidrs",
                range(&["10.0.0.0/24", "10.1.0.0/24"]),
                vec![
                    r#"spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/24","10.1.0.0/24"]}: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"#,
                ],
            ),
        ],
    );
    super::check_updates(
        "networking.k8s.io",
        vec![
            ("servicecidrs", range(&["10.0.0.0/24"]), range(&["10.0.0.0/24", "fd00::/64"]), vec![]),
            (
                "servicecidrs",
                range(&["10.0.0.0/24"]),
                range(&["10.1.0.0/24"]),
                vec![r#"spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable"#],
            ),
            (
                "servicecidrs",
                range(&["10.0.0.0/24", "fd00::/64"]),
                range(&["10.0.0.0/24"]),
                vec![r#"spec.cidrs: Invalid value: ["10.0.0.0/24"]: field is immutable"#],
            ),
            (
                "ipaddresses",
                address("b"),
                address("c"),
                vec![
                    r#"spec.parentRef: Invalid value: {"name":"c","namespace":"a","resource":"services"}: field is immutable"#,
                ],
            ),
        ],
    );
}
