//! Flow schemas and priority levels.

use serde_json::json;

use super::check;

#[test]
fn flow_control() {
    let level = |queuing| {
        json!({"metadata": {"name": "l"}, "spec": {"type": "Limited", "limited": {"lendablePercent": 101,
        "limitResponse": {"type": "Queue", "queuing": queuing}}}})
    };
    check(
        "flowcontrol.apiserver.k8s.io",
        vec![
            (
                "flowschemas",
                json!({"metadata": {"name": "f"}, "spec": {"matchingPrecedence": 1, "priorityLevelConfiguration": {"name": ""}, "rules": [{
                    "subjects": [{"kind": "User", "group": {"name": "g"}}],
                    "resourceRules": [{"verbs": ["see"], "apiGroups": ["*"], "resources": ["*"]}]}]}}),
                vec![
                    "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
                    "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
                    "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
                    "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
                    r#"spec.rules[0].resourceRules[0].verbs: Unsupported value: ["see"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch""#,
                    "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
                ],
            ),
            (
                "flowschemas",
                json!({"metadata": {"name": "f"}, "spec": {"priorityLevelConfiguration": {"name": "a"}, "rules": [{
                    "subjects": [{"kind": "Group", "group": {"name": "g"}}],
                    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/a*"]}]}]}}),
                vec![
                    r#"spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "/a*": wildcard can only do suffix matching"#,
                ],
            ),
            (
                "prioritylevelconfigurations",
                level(json!({"queues": 2, "handSize": 3, "queueLengthLimit": 0})),
                vec![
                    "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
                    "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: 0: must be positive",
                    "spec.limited.limitResponse.queuing.handSize: Invalid value: 3: should not be greater than queues (2)",
                ],
            ),
        ],
    );
}

#[test]
fn what_exempts_and_what_catches_all_is_fixed() {
    let group = "flowcontrol.apiserver.k8s.io";
    let level = |name: &str, spec: serde_json::Value| json!({"metadata": {"name": name}, "spec": spec});
    let reject = |shares: i64| {
        json!({"type": "Limited", "limited": {
        "nominalConcurrencyShares": shares, "limitResponse": {"type": "Reject"}}})
    };
    let wrong = |resource: &str, object: serde_json::Value| {
        let errors = super::errors(group, resource, object);
        errors.iter().map(|error| error.rsplit("}: ").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 7}});
    assert_eq!(wrong("prioritylevelconfigurations", level("exempt", exempt)), Vec::<String>::new());
    assert_eq!(wrong("prioritylevelconfigurations", level("catch-all", reject(5))), Vec::<String>::new());
    assert_eq!(
        wrong("prioritylevelconfigurations", level("catch-all", reject(6))),
        ["spec of 'catch-all' must equal the fixed value"]
    );
    assert_eq!(wrong("prioritylevelconfigurations", level("web", reject(6))), Vec::<String>::new());
    for name in ["exempt", "catch-all"] {
        let spec = kinds::flowcontrol::mandatory::schema(name).unwrap();
        assert_eq!(wrong("flowschemas", level(name, spec.clone())), Vec::<String>::new());
        let other = super::with(
            json!({"metadata": {"name": name}, "spec": spec}),
            "/spec/rules/0/subjects",
            json!([
            {"kind": "Group", "group": {"name": "dev"}}]),
        );
        assert_eq!(wrong("flowschemas", other), [format!("spec of '{name}' must equal the fixed value")]);
    }
}
