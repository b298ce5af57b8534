//! Roles and their bindings.

use serde_json::json;

use super::{check, check_updates, with};

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
