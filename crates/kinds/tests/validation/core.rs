//! Configuration, nodes, volumes, endpoints, limits and quotas.

use serde_json::json;

use super::{check, check_updates, with};

#[test]
fn configuration() {
    check(
        "",
        vec![
            ("configmaps", json!({"data": {"a.b": "x"}, "binaryData": {"c": "eA=="}}), vec![]),
            (
                "configmaps",
                json!({"data": {"a": "x"}, "binaryData": {"a": "eA=="}}),
                vec![r#"data[a]: Invalid value: "a": duplicate of key present in binaryData"#],
            ),
            ("configmaps", json!({"data": {"..": "x"}}), vec![r#"data[..]: Invalid value: "..": must not be '..'"#]),
            (
                "secrets",
                json!({"type": "kubernetes.io/tls"}),
                vec!["data[tls.crt]: Required value", "data[tls.key]: Required value"],
            ),
            (
                "secrets",
                json!({"type": "kubernetes.io/service-account-token"}),
                vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
            (
                "secrets",
                json!({"stringData": {"a": "x".repeat(2 << 20)}}),
                vec!["data: Too long: may not be more than 1048576 bytes"],
            ),
            (
                "namespaces",
                json!({"spec": {"finalizers": ["kubernetes", "mine"]}}),
                vec![
                    r#"spec.finalizers[1]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified"#,
                ],
            ),
            (
                "limitranges",
                json!({"spec": {"limits": [{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}}),
                vec![r#"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#],
            ),
            (
                "resourcequotas",
                json!({"spec": {"hard": {"pods": "10", "requests.cpu": "1", "count/jobs.batch": "3"}}}),
                vec![],
            ),
            (
                "resourcequotas",
                json!({"spec": {"hard": {"pods": "-1"}}}),
                vec![r#"spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0"#],
            ),
        ],
    );
    let immutable = json!({"immutable": true, "data": {"a": "x"}});
    check_updates(
        "",
        vec![
            ("configmaps", immutable.clone(), immutable.clone(), vec![]),
            (
                "configmaps",
                immutable.clone(),
                json!({"immutable": true, "data": {"a": "y"}}),
                vec!["data: Forbidden: field is immutable when `immutable` is set"],
            ),
            (
                "configmaps",
                immutable,
                json!({"data": {"a": "x"}}),
                vec!["immutable: Forbidden: field is immutable when `immutable` is set"],
            ),
            (
                "secrets",
                json!({"type": "Opaque"}),
                json!({"type": "other"}),
                vec![r#"type: Invalid value: "other": field is immutable"#],
            ),
        ],
    );
}

#[test]
fn nodes_volumes_and_endpoints() {
    check(
        "",
        vec![
            ("nodes", json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}), vec![]),
            ("nodes", json!({"spec": {"taints": [{"key": "a"}]}}), vec!["metadata.taints[0].effect: Required value"]),
            (
                "endpoints",
                json!({"subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 80}]}]}),
                vec![
                    r#"subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
                ],
            ),
            (
                "persistentvolumeclaims",
                json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
                vec![],
            ),
            (
                "persistentvolumeclaims",
                json!({"spec": {}}),
                vec![
                    "spec.accessModes: Required value: at least 1 access mode is required",
                    "spec.resources[storage]: Required value",
                ],
            ),
            (
                "persistentvolumes",
                json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}}),
                vec!["spec: Required value: must specify a volume type"],
            ),
        ],
    );
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}});
    let size = "/spec/resources/requests/storage";
    check_updates(
        "",
        vec![
            ("nodes", json!({"spec": {}}), json!({"spec": {"podCIDRs": ["10.42.0.0/24"]}}), vec![]),
            (
                "nodes",
                json!({"spec": {"podCIDRs": ["10.42.0.0/24"]}}),
                json!({"spec": {"podCIDRs": ["10.42.1.0/24"]}}),
                vec![r#"spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid"#],
            ),
            ("persistentvolumeclaims", claim.clone(), with(claim.clone(), size, json!("3Gi")), vec![]),
            (
                "persistentvolumeclaims",
                claim.clone(),
                with(claim.clone(), size, json!("1Gi")),
                vec!["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
            ),
            (
                "persistentvolumeclaims",
                claim.clone(),
                with(claim, "/spec/accessModes", json!(["ReadWriteMany"])),
                vec![
                    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
                ],
            ),
        ],
    );
}

#[test]
fn limits_and_quotas() {
    let limits = |item| json!({"spec": {"limits": [item]}});
    check(
        "",
        vec![
            (
                "limitranges",
                limits(json!({"type": "PersistentVolumeClaim"})),
                vec![
                    "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
                ],
            ),
            (
                "limitranges",
                limits(json!({"type": "Box", "min": {"cpus": "1"}})),
                vec![
                    r#"spec.limits[0].type: Invalid value: "Box": must be a standard limit type or fully qualified"#,
                    r#"spec.limits[0].min[cpus]: Invalid value: "cpus": must be a standard resource type or fully qualified"#,
                ],
            ),
            (
                "limitranges",
                limits(json!({"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "default": {"cpu": "3"},
                    "maxLimitRequestRatio": {"cpu": "4"}})),
                vec![
                    r#"spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than max value 2"#,
                    r#"spec.limits[0].default[cpu]: Invalid value: "2": default value 3 is greater than max value 2"#,
                    r#"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "4": ratio 4 is greater than max/min = 2.000000"#,
                ],
            ),
            (
                "resourcequotas",
                json!({"spec": {"hard": {"cpus": "1", "services": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}}),
                vec![
                    r#"spec.hard[cpus]: Invalid value: "cpus": must be a standard resource type or fully qualified"#,
                    r#"spec.hard[cpus]: Invalid value: "cpus": must be a standard resource for quota"#,
                    r#"spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource"#,
                    r#"spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource"#,
                    r#"spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes"#,
                ],
            ),
            (
                "resourcequotas",
                json!({"spec": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "In"}]}}}),
                vec![
                    "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                ],
            ),
            (
                "nodes",
                json!({"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.0.0/24"]}}),
                vec![
                    r#"spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.0.0/24"]: may specify no more than one CIDR for each IP family"#,
                    r#"spec.podCIDRs[1]: Duplicate value: "10.0.0.0/24""#,
                ],
            ),
        ],
    );
    check_updates(
        "",
        vec![(
            "nodes",
            json!({"spec": {"externalID": "a"}}),
            json!({"spec": {"externalID": "b"}}),
            vec!["spec.externalID: Forbidden: may not be updated"],
        )],
    );
}
