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

#[test]
fn events_are_told_once() {
    let event = json!({"metadata": {"name": "e", "namespace": "a"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "namespace": "a", "name": "p"}, "reportingController": "c.d/e", "reportingInstance": "i",
        "action": "Start", "reason": "Started", "type": "Normal", "note": "n"});
    let with = |field: &str, value: serde_json::Value| {
        let mut event = event.clone();
        event[field] = value;
        event
    };
    check(
        "events.k8s.io",
        vec![
            ("events", event.clone(), vec![]),
            ("events", with("eventTime", serde_json::Value::Null), vec!["eventTime: Required value"]),
            ("events", with("type", json!("Odd")), vec![r#"type: Invalid value: "": has invalid value: Odd"#]),
            ("events", with("deprecatedCount", json!(1)), vec![r#"count: Invalid value: "": needs to be unset"#]),
            (
                "events",
                with("series", json!({"count": 1})),
                vec![
                    r#"series.count: Invalid value: "": should be at least 2"#,
                    "series.lastObservedTime: Required value",
                ],
            ),
            (
                "events",
                with("reason", json!("r".repeat(129))),
                vec![r#"reason: Invalid value: "": can have at most 128 characters"#],
            ),
        ],
    );
    let again = json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"});
    super::check_updates(
        "events.k8s.io",
        vec![
            ("events", event.clone(), with("series", again), vec![]),
            (
                "events",
                event.clone(),
                with("note", json!("other")),
                vec![r#"message: Invalid value: "other": field is immutable"#],
            ),
        ],
    );
}

#[test]
fn fields_that_can_not_be_selected_by_are_told_as_the_kind_tells_them() {
    let fault = |group, resource, field| kinds::find(group, "v1", resource).unwrap().field_fault(field);
    let unknown = r#""metadata.uid" is not a known field selector: only "metadata.name", "metadata.namespace""#;
    let rows = [
        ("", "pods", "spec.nodeName", None),
        ("", "pods", "metadata.namespace", None),
        ("", "pods", "spec.x", Some("field label not supported: spec.x")),
        ("", "nodes", "metadata.namespace", Some("field label not supported: metadata.namespace")),
        ("", "namespaces", "name", Some("field label not supported: name")),
        ("", "persistentvolumes", "metadata.uid", Some(unknown)),
        ("apps", "replicasets", "metadata.uid", Some(unknown)),
        ("", "configmaps", "metadata.uid", Some(unknown)),
        ("", "events", "involvedObject.name", None),
        ("", "events", "regarding.name", Some("field label not supported: regarding.name")),
        ("events.k8s.io", "events", "regarding.name", None),
        ("events.k8s.io", "events", "reportingController", None),
        ("events.k8s.io", "events", "source", Some("field label not supported: source")),
        ("storage.k8s.io", "storageclasses", "metadata.namespace", None),
        ("batch", "jobs", "spec.x", Some(r#"field label "spec.x" not supported for Job"#)),
        (
            "resource.k8s.io",
            "resourceslices",
            "spec.pool.name",
            Some("field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: spec.pool.name"),
        ),
    ];
    for (group, resource, field, expected) in rows {
        assert_eq!(fault(group, resource, field).as_deref(), expected, "{resource} {field}");
    }
}
