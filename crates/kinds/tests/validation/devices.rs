//! Claims and slices of devices, and the runtime classes of pods.

use serde_json::json;

use super::{check, check_updates, subresource_errors};

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
    let selecting = |expression: &str| json!({"spec": {"selectors": [{"cel": {"expression": expression}}]}});
    let ten = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].all(x, ";
    let dear = format!("{}int('1'.find('[0-9]*')) < 100{}", ten.repeat(7), ")".repeat(7));
    check(
        "resource.k8s.io",
        vec![
            ("deviceclasses", selecting(r#"device.driver == "a.b" && device.attributes["a.b"].ready"#), vec![]),
            ("deviceclasses", selecting(r#"device.capacity["a.b"].memory.isGreaterThan(quantity("1Gi"))"#), vec![]),
            (
                "deviceclasses",
                selecting("device.allowMultipleAllocations"),
                vec![
                    "spec.selectors[0].cel.expression: Invalid value: \"device.allowMultipleAllocations\": compilation \
                     failed: ERROR: <input>:1:7: undefined field 'allowMultipleAllocations'\n | \
                     device.allowMultipleAllocations\n | ......^",
                ],
            ),
            (
                "deviceclasses",
                selecting("1"),
                vec![
                    r#"spec.selectors[0].cel.expression: Invalid value: "1": must evaluate to bool or the unknown type, not int"#,
                ],
            ),
            (
                "deviceclasses",
                selecting(&dear),
                vec!["spec.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit"],
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

#[test]
fn what_drivers_tell_of_allocated_devices() {
    let spec = json!({"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "gpu"}}]}});
    let of = |device: serde_json::Value| {
        let result = json!({"request": "a", "driver": "a.b", "pool": "p", "device": "d"});
        let mut own = json!({"driver": "a.b", "pool": "p", "device": "d"});
        own.as_object_mut().unwrap().extend(device.as_object().unwrap().clone());
        json!({"spec": spec, "status": {"allocation": {"devices": {"results": [result]}}, "devices": [own]}})
    };
    let ready =
        json!({"type": "Ready", "status": "True", "reason": "Up", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let rows = [
        (json!({"conditions": [ready], "data": {"a": 1}, "networkData": {"ips": ["10.0.0.1/24"]}}), vec![]),
        (
            json!({"conditions": [ready, {"type": "Ready", "status": "Perhaps", "reason": "1"}], "data": 1}),
            vec![
                r#"status.devices[0].conditions[1].type: Duplicate value: "Ready""#,
                r#"status.devices[0].conditions[1].status: Unsupported value: "Perhaps": supported values: "False", "True", "Unknown""#,
                "status.devices[0].conditions[1].lastTransitionTime: Required value",
                r#"status.devices[0].conditions[1].reason: Invalid value: "1": a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"#,
                r#"status.devices[0].data: Invalid value: "<value omitted>": must be a valid JSON object"#,
            ],
        ),
        (
            json!({"networkData": {"interfaceName": "e".repeat(257), "ips": ["10.0.0.1", "FD00::1/64", "10.0.0.1"]}}),
            vec![
                "status.devices[0].networkData.interfaceName: Too long: may not be more than 256 bytes",
                r#"status.devices[0].networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"#,
                r#"status.devices[0].networkData.ips[1]: Invalid value: "FD00::1/64": must be in canonical form ("fd00::1/64")"#,
                r#"status.devices[0].networkData.ips[2]: Invalid value: "10.0.0.1": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"#,
                r#"status.devices[0].networkData.ips[2]: Duplicate value: "10.0.0.1""#,
            ],
        ),
    ];
    for (device, expected) in rows {
        let old = json!({"spec": spec, "status": {}});
        let errors = subresource_errors("resource.k8s.io", "resourceclaims", "status", &old, &of(device.clone()));
        assert_eq!(errors, expected, "{device}");
    }
}

#[test]
fn what_is_told_of_devices_goes_with_them() {
    let kind = super::kind("resource.k8s.io", "resourceclaims");
    let claim = |allocated: &[&str], told: &[&str]| {
        let device = |name: &&str| json!({"driver": "a.b", "pool": "p", "device": name});
        let devices = |names: &[&str]| names.iter().map(device).collect::<Vec<_>>();
        let status = json!({"allocation": {"devices": {"results": devices(allocated)}}, "devices": devices(told)});
        machinery::Object::from_value(json!({"metadata": {"name": "c"}, "spec": {}, "status": status})).unwrap()
    };
    let old = claim(&["a", "b"], &["a", "b"]);
    let mut new = claim(&["b"], &["a", "b", "c"]);
    (kind.strategy.prepare_status_update)(&mut new, &old);
    let names: Vec<&str> =
        new.list(&["status", "devices"]).iter().map(|device| device["device"].as_str().unwrap()).collect();
    assert_eq!(names, ["b", "c"], "validation has something to say of the last one");
    let mut none = claim(&[], &["a", "b"]);
    (kind.strategy.prepare_status_update)(&mut none, &old);
    assert_eq!(none.get(&["status", "devices"]), None);
}
