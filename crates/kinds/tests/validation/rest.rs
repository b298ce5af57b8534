//! Priority classes, leases, certificates, events and custom resources.

use serde_json::json;

use super::{check, check_updates};

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
}
