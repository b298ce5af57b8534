//! Objects and the errors they get: what is valid passes, what is not is told in upstream's words.

use machinery::Object;
use serde_json::{Value, json};

/// Defaults and prepares the object and checks it as a creation is checked.
fn errors(group: &str, resource: &str, object: Value) -> Vec<String> {
    let kind = kinds::find(group, "v1", resource).expect("a kind");
    let mut object = Object::from_value(object).expect("an object");
    (kind.strategy.default)(&mut object);
    (kind.strategy.prepare_create)(&mut object);
    let errors = [(kind.strategy.validate)(&object), (kind.strategy.validate_create)(&object)].concat();
    errors.iter().map(ToString::to_string).collect()
}

fn update_errors(group: &str, resource: &str, old: Value, new: Value) -> Vec<String> {
    let kind = kinds::find(group, "v1", resource).expect("a kind");
    let [new, old] = [new, old].map(|value| {
        let mut object = Object::from_value(value).expect("an object");
        (kind.strategy.default)(&mut object);
        object
    });
    (kind.strategy.validate_update)(&new, &old).iter().map(ToString::to_string).collect()
}

/// Every row: a resource, an object of it, and the errors it gets.
fn check(group: &str, rows: Vec<(&str, Value, Vec<&str>)>) {
    for (resource, object, expected) in rows {
        assert_eq!(errors(group, resource, object.clone()), expected, "{resource} {object}");
    }
}

fn check_updates(group: &str, rows: Vec<(&str, Value, Value, Vec<&str>)>) {
    for (resource, old, new, expected) in rows {
        assert_eq!(update_errors(group, resource, old, new.clone()), expected, "{resource} {new}");
    }
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}})
}

fn with(mut value: Value, path: &str, field: Value) -> Value {
    *value.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = field;
    value
}

fn workload() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template()}})
}

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
fn workloads() {
    let mismatch =
        r#"spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` does not match template `labels`"#;
    let labels = "/spec/template/metadata/labels";
    let mut rows = Vec::new();
    for resource in ["deployments", "replicasets", "daemonsets", "statefulsets"] {
        rows.push((resource, workload(), vec![]));
        rows.push((resource, with(workload(), labels, json!({"app": "other"})), vec![mismatch]));
    }
    rows.push(("deployments", with(workload(), "/spec/selector", Value::Null), vec!["spec.selector: Required value"]));
    check("apps", rows);
    let spec = |field: &str, value: Value| {
        let mut object = workload();
        object["spec"][field] = value;
        object
    };
    check(
        "apps",
        vec![
            (
                "deployments",
                spec("replicas", json!(-1)),
                vec!["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "deployments",
                spec("strategy", json!({"type": "Recreate", "rollingUpdate": {}})),
                vec!["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
            ),
            (
                "deployments",
                spec("strategy", json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}})),
                vec![
                    r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0"#,
                ],
            ),
            (
                "deployments",
                spec("progressDeadlineSeconds", json!(0)),
                vec!["spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"],
            ),
            (
                "daemonsets",
                spec("updateStrategy", json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}})),
                vec![
                    "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
                ],
            ),
            (
                "statefulsets",
                spec("podManagementPolicy", json!("Any")),
                vec![r#"spec.podManagementPolicy: Invalid value: "Any": must be 'OrderedReady' or 'Parallel'"#],
            ),
        ],
    );
    let selector = json!({"matchLabels": {"app": "web", "tier": "a"}});
    check_updates(
        "apps",
        vec![
            (
                "deployments",
                workload(),
                spec("selector", selector),
                vec![r#"spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"a"}}: field is immutable"#],
            ),
            ("statefulsets", workload(), spec("replicas", json!(3)), vec![]),
            (
                "statefulsets",
                workload(),
                spec("serviceName", json!("other")),
                vec![
                    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
                ],
            ),
        ],
    );
}

fn job() -> Value {
    let mut job = with(
        workload(),
        "/spec/template/spec",
        json!({"containers": [{"name": "a", "image": "a:1"}], "restartPolicy": "Never"}),
    );
    job["spec"]["parallelism"] = json!(1);
    job
}

#[test]
fn jobs_and_budgets() {
    let cron = |schedule: &str| json!({"spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": job()["spec"]["template"]}}}});
    check(
        "batch",
        vec![
            ("jobs", job(), vec![]),
            (
                "jobs",
                with(job(), "/spec/template/spec/restartPolicy", Value::Null),
                vec![r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#],
            ),
            ("cronjobs", cron("*/5 * * * *"), vec![]),
            ("cronjobs", cron("@hourly"), vec![]),
            (
                "cronjobs",
                cron("* *"),
                vec![r#"spec.schedule: Invalid value: "* *": expected exactly 5 fields, found 2: [* *]"#],
            ),
            ("cronjobs", cron(""), vec!["spec.schedule: Required value"]),
        ],
    );
    let changed = with(job(), "/spec/template/spec/containers/0/image", json!("b:1"));
    let refused = update_errors("batch", "jobs", job(), changed);
    assert!(refused[0].starts_with("spec.template: Invalid value: "), "{refused:?}");
    assert!(refused[0].ends_with(": field is immutable"), "{refused:?}");
    check(
        "policy",
        vec![(
            "poddisruptionbudgets",
            json!({"spec": {"minAvailable": "120%"}}),
            vec![r#"spec.minAvailable: Invalid value: "120%": must not be greater than 100%"#],
        )],
    );
}

#[test]
fn autoscalers() {
    check(
        "autoscaling",
        vec![(
            "horizontalpodautoscalers",
            json!({"spec": {"minReplicas": 3, "maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment"}}}),
            vec![
                "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`",
                "spec.scaleTargetRef.name: Required value",
            ],
        )],
    );
}

#[test]
fn access_control() {
    let role = json!({"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"});
    check(
        "rbac.authorization.k8s.io",
        vec![
            ("roles", json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}), vec![]),
            (
                "roles",
                json!({"rules": [{"nonResourceURLs": ["/healthz"]}]}),
                vec![
                    "rules[0].verbs: Required value: verbs must contain at least one value",
                    r#"rules[0].nonResourceURLs: Invalid value: ["/healthz"]: namespaced rules cannot apply to non-resource URLs"#,
                ],
            ),
            (
                "clusterroles",
                json!({"rules": [{"verbs": ["get"], "resources": ["pods"]}]}),
                vec!["rules[0].apiGroups: Required value: resource rules must supply at least one api group"],
            ),
            (
                "clusterrolebindings",
                json!({"roleRef": role, "subjects": [{"kind": "ServiceAccount", "name": "a"}]}),
                vec![
                    r#"roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole""#,
                    "subjects[0].namespace: Required value",
                ],
            ),
        ],
    );
    let other = with(json!({"roleRef": role}), "/roleRef/name", json!("s"));
    check_updates(
        "rbac.authorization.k8s.io",
        vec![(
            "rolebindings",
            json!({"roleRef": role}),
            other,
            vec![
                r#"roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"s"}: cannot change roleRef"#,
            ],
        )],
    );
}

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
fn the_rest() {
    check(
        "scheduling.k8s.io",
        vec![
            ("priorityclasses", json!({"metadata": {"name": "high"}, "value": 1000}), vec![]),
            (
                "priorityclasses",
                json!({"metadata": {"name": "high"}, "value": 2_000_000_000}),
                vec!["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
            ),
            ("priorityclasses", json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}), vec![]),
        ],
    );
    check_updates(
        "scheduling.k8s.io",
        vec![(
            "priorityclasses",
            json!({"value": 1}),
            json!({"value": 2}),
            vec!["value: Forbidden: may not be changed in an update."],
        )],
    );
    check(
        "coordination.k8s.io",
        vec![(
            "leases",
            json!({"spec": {"leaseDurationSeconds": 0}}),
            vec!["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        )],
    );
    check(
        "certificates.k8s.io",
        vec![(
            "certificatesigningrequests",
            json!({"spec": {"request": "eA==", "usages": ["client auth"], "signerName": "nobody", "expirationSeconds": 1}}),
            vec![
                "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 600 seconds (10 minutes)",
                r#"spec.signerName: Invalid value: "nobody": must be a fully qualified domain and path of the form 'example.com/signer-name'"#,
            ],
        )],
    );
    check("storage.k8s.io", vec![("storageclasses", json!({}), vec!["provisioner: Required value"])]);
    check(
        "",
        vec![
            (
                "events",
                json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}}),
                vec![r#"involvedObject.namespace: Invalid value: "b": does not match event.namespace"#],
            ),
            ("events", json!({"metadata": {"namespace": "default"}, "involvedObject": {"kind": "Node"}}), vec![]),
        ],
    );
    let version =
        json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
    let names = json!({"kind": "Widget", "plural": "widgets"});
    let crd = |name: &str| json!({"metadata": {"name": name}, "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}});
    check(
        "apiextensions.k8s.io",
        vec![
            ("customresourcedefinitions", crd("widgets.example.com"), vec![]),
            (
                "customresourcedefinitions",
                crd("gadgets.example.com"),
                vec![
                    r#"metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group"#,
                ],
            ),
        ],
    );
    let webhook = json!({"name": "a.b.c", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"url": "https://example.com/"}});
    check(
        "admissionregistration.k8s.io",
        vec![
            ("validatingwebhookconfigurations", json!({"webhooks": [webhook]}), vec![]),
            (
                "mutatingwebhookconfigurations",
                json!({"webhooks": [with(webhook.clone(), "/name", json!("short"))]}),
                vec![
                    r#"webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots"#,
                ],
            ),
        ],
    );
}

#[test]
fn names_follow_the_kind() {
    let valid = |group, resource, name: &str| {
        let kind = kinds::find(group, "v1", resource).unwrap();
        (kind.strategy.validate_name)(name).is_empty()
    };
    assert!(valid("", "pods", "a.b") && !valid("", "pods", "A"));
    assert!(valid("", "namespaces", "a") && !valid("", "namespaces", "a.b"));
    assert!(valid("", "services", "1a") && !valid("", "services", "a.b"));
    assert!(valid("apps", "statefulsets", "a") && !valid("apps", "statefulsets", "a.b"));
    assert!(
        valid("rbac.authorization.k8s.io", "clusterroles", "system:node")
            && !valid("rbac.authorization.k8s.io", "roles", "a/b")
    );
    assert!(
        valid("networking.k8s.io", "ipaddresses", "10.0.0.1")
            && !valid("networking.k8s.io", "ipaddresses", "010.0.0.1")
    );
}

#[test]
fn what_components_write_is_valid() {
    check(
        "",
        vec![
            (
                "nodes",
                json!({"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}, "spec": {"podCIDR": "10.42.0.0/24",
                    "podCIDRs": ["10.42.0.0/24"], "taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]},
                    "status": {"capacity": {"cpu": "2"}, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}),
                vec![],
            ),
            ("serviceaccounts", json!({"metadata": {"name": "default"}}), vec![]),
            (
                "services",
                json!({"metadata": {"name": "kubernetes"}, "spec": {"clusterIP": "10.43.0.1", "clusterIPs": ["10.43.0.1"],
                    "ports": [{"name": "https", "port": 443, "targetPort": 6443}]}}),
                vec![],
            ),
        ],
    );
    check(
        "apiregistration.k8s.io",
        vec![(
            "apiservices",
            json!({"metadata": {"name": "v1."}, "spec": {"version": "v1", "group": "", "groupPriorityMinimum": 18000, "versionPriority": 1}}),
            vec![],
        )],
    );
    check(
        "events.k8s.io",
        vec![(
            "events",
            json!({"metadata": {"name": "e", "namespace": "default"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "scheduler",
            "reportingInstance": "scheduler-1", "action": "Binding", "reason": "Scheduled", "type": "Normal",
            "regarding": {"kind": "Pod", "namespace": "default", "name": "web"}}),
            vec![],
        )],
    );
    check(
        "rbac.authorization.k8s.io",
        vec![(
            "clusterroles",
            json!({"metadata": {"name": "system:discovery"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*"]}]}),
            vec![],
        )],
    );
}
