//! Storage classes, drivers and attachments.

use serde_json::json;

use super::{check, check_updates};

#[test]
fn storage() {
    check(
        "storage.k8s.io",
        vec![
            ("storageclasses", json!({}), vec!["provisioner: Required value"]),
            (
                "storageclasses",
                json!({"provisioner": "a.b/c", "parameters": {"": "x"},
                    "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone"}]}]}),
                vec![
                    r#"parameters: Invalid value: "": field can not be empty."#,
                    "allowedTopologies[0].matchLabelExpressions[0].values: Required value",
                ],
            ),
            (
                "csidrivers",
                json!({"spec": {"tokenRequests": [{"audience": "a"}, {"audience": "a"}, {"expirationSeconds": 1}], "volumeLifecycleModes": ["Never"]}}),
                vec![
                    r#"spec.tokenRequests[1].audience: Duplicate value: "a""#,
                    "spec.tokenRequests[2].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
                    r#"spec.volumeLifecycleModes: Unsupported value: "Never": supported values: "Persistent", "Ephemeral""#,
                ],
            ),
            (
                "csinodes",
                json!({"spec": {"drivers": [{"name": "a.b"}, {"name": "a.b", "nodeID": "n"}]}}),
                vec!["spec.drivers[0].nodeID: Required value", r#"spec.drivers[1].name: Duplicate value: "a.b""#],
            ),
            (
                "volumeattachments",
                json!({"spec": {"attacher": "a.b", "nodeName": "n", "source": {}}}),
                vec![
                    "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
                ],
            ),
            (
                "volumeattributesclasses",
                json!({"driverName": "a.b"}),
                vec!["parameters: Required value: must contain at least one key/value pair"],
            ),
            (
                "csistoragecapacities",
                json!({"storageClassName": "a", "capacity": "-1"}),
                vec![r#"capacity: Invalid value: "-1": must be greater than or equal to 0"#],
            ),
        ],
    );
    let driver =
        |count| json!({"spec": {"drivers": [{"name": "a.b", "nodeID": "n", "allocatable": {"count": count}}]}});
    check_updates(
        "storage.k8s.io",
        vec![
            ("csinodes", driver(1), driver(2), vec![]),
            (
                "csidrivers",
                json!({"spec": {"attachRequired": true}}),
                json!({"spec": {"attachRequired": false}}),
                vec!["spec.attachedRequired: Invalid value: false: field is immutable"],
            ),
            (
                "volumeattributesclasses",
                json!({"driverName": "a.b", "parameters": {"a": "b"}}),
                json!({"driverName": "a.b", "parameters": {"a": "c"}}),
                vec!["parameters: Forbidden: updates to parameters are forbidden."],
            ),
        ],
    );
}
