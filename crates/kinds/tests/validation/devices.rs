//! Claims and slices of devices, and the runtime classes of pods.

use serde_json::json;

use super::{check, check_updates};

#[test]
fn claims() {
    let claim =
        |requests, constraints| json!({"spec": {"devices": {"requests": requests, "constraints": constraints}}});
    let exactly = json!([{"name": "a", "exactly": {"deviceClassName": "gpu"}}]);
    check(
        "resource.k8s.io",
        vec![
            ("resourceclaims", claim(exactly.clone(), json!([{"requests": ["a"], "matchAttribute": "a.b/c"}])), vec![]),
            (
                "resourceclaims",
                claim(exactly.clone(), json!([{"requests": ["b"], "matchAttribute": "c"}])),
                vec![
                    r#"spec.devices.constraints[0].requests[0]: Invalid value: "b": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"#,
                    r#"spec.devices.constraints[0].matchAttribute: Invalid value: "c": a fully qualified name must be a domain and a name separated by a slash"#,
                ],
            ),
            (
                "resourceclaims",
                claim(
                    json!([{"name": "a"}, {"name": "a", "exactly": {"allocationMode": "All", "count": 2}}]),
                    json!([]),
                ),
                vec![
                    "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
                    "spec.devices.requests[1].exactly.deviceClassName: Required value",
                    "spec.devices.requests[1].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
                    r#"spec.devices.requests[1]: Duplicate value: "a""#,
                ],
            ),
            (
                "deviceclasses",
                json!({"spec": {"selectors": [{}], "config": [{"opaque": {"driver": "a.b", "parameters": 1}}]}}),
                vec![
                    "spec.selectors[0].cel: Required value",
                    r#"spec.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object"#,
                ],
            ),
        ],
    );
    check_updates(
        "resource.k8s.io",
        vec![
            ("resourceclaims", claim(exactly.clone(), json!([])), claim(exactly, json!([])), vec![]),
            ("resourceclaims", json!({"spec": {"devices": {}}}), json!({"spec": {}}), vec![]),
        ],
    );
}

#[test]
fn slices() {
    let slice = |devices| json!({"spec": {"driver": "a.b", "pool": {"name": "p", "resourceSliceCount": 1}, "devices": devices}});
    check(
        "resource.k8s.io",
        vec![(
            "resourceslices",
            slice(json!([{"name": "d", "attributes": {"model": {}, "v": {"version": "1"}}, "nodeName": "n"}])),
            vec![
                "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
                r#"spec.devices[0].attributes[model]: Invalid value: "": exactly one value must be specified"#,
                r#"spec.devices[0].attributes[v].version: Invalid value: "1": must be a string compatible with semver.org spec 2.0.0"#,
                "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
            ],
        )],
    );
    check(
        "node.k8s.io",
        vec![(
            "runtimeclasses",
            json!({"handler": "runc", "overhead": {"podFixed": {"cpu": "-1"}}}),
            vec![r#"overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0"#],
        )],
    );
}
