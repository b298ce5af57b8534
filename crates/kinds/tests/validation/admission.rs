//! Webhooks and policies of admission.

use serde_json::json;

use super::{check, with};

#[test]
fn webhooks() {
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
fn rules_and_clients() {
    let webhook = |rule, client| {
        json!({"webhooks": [{"name": "a.b.c", "admissionReviewVersions": ["v1", "v1"],
        "sideEffects": "None", "clientConfig": client, "rules": [rule]}]})
    };
    let all = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]});
    check(
        "admissionregistration.k8s.io",
        vec![
            (
                "validatingwebhookconfigurations",
                webhook(all.clone(), json!({"url": "http://u@example.com/?a#b"})),
                vec![
                    r#"webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
                    r#"webhooks[0].clientConfig.url: Invalid value: "u": user information is not permitted in the URL"#,
                    r#"webhooks[0].clientConfig.url: Invalid value: "b": fragments are not permitted in the URL"#,
                    r#"webhooks[0].clientConfig.url: Invalid value: "a": query parameters are not permitted in the URL"#,
                    r#"webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version"#,
                ],
            ),
            (
                "mutatingwebhookconfigurations",
                webhook(
                    json!({"operations": ["*", "CREATE"], "apiGroups": ["*", ""], "apiVersions": [""], "resources": ["*/*", "pods"]}),
                    json!({"service": {"name": "a", "path": "/a//b"}}),
                ),
                vec![
                    r#"webhooks[0].rules[0].operations: Invalid value: ["*","CREATE"]: if '*' is present, must not specify other operations"#,
                    r#"webhooks[0].rules[0].apiGroups: Invalid value: ["*",""]: if '*' is present, must not specify other API groups"#,
                    "webhooks[0].rules[0].apiVersions[0]: Required value",
                    r#"webhooks[0].rules[0].resources: Invalid value: ["*/*","pods"]: if '*/*' is present, must not specify other resources"#,
                    "webhooks[0].clientConfig.service.namespace: Required value",
                    r#"webhooks[0].clientConfig.service.path: Invalid value: "/a//b": segment[1] may not be empty"#,
                    r#"webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version"#,
                ],
            ),
        ],
    );
}

#[test]
fn policies() {
    check(
        "admissionregistration.k8s.io",
        vec![
            (
                "validatingadmissionpolicies",
                json!({"metadata": {"name": "p"}, "spec": {"paramKind": {"apiVersion": "a/b/c"}, "matchConditions": [{"name": "a"}]}}),
                vec![
                    r#"spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
                    "spec.paramKind.kind: Required value",
                    "spec.matchConstraints: Required value",
                    "spec.matchConditions[0].expression: Required value",
                    "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                    "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
                ],
            ),
            (
                "validatingadmissionpolicies",
                json!({"metadata": {"name": "p"}, "spec": {
                    "matchConstraints": {"resourceRules": []},
                    "variables": [{"name": "in", "expression": "1"}],
                    "validations": [{"expression": " ", "message": "a\nb", "reason": "Never"}],
                    "auditAnnotations": [{"key": "k", "valueExpression": "'a'"}, {"key": "k"}]}}),
                vec![
                    "spec.matchConstraints.resourceRules: Required value",
                    r#"spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier"#,
                    "spec.validations[0].expression: Required value: expression is not specified",
                    r#"spec.validations[0].message: Invalid value: "a\nb": must not contain line breaks"#,
                    r#"spec.validations[0].reason: Unsupported value: "Never": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge""#,
                    "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
                    r#"spec.auditAnnotations[1].key: Duplicate value: "k""#,
                ],
            ),
            (
                "validatingadmissionpolicybindings",
                json!({"spec": {"policyName": "p", "validationActions": ["Deny", "Warn"], "paramRef": {"name": "a", "selector": {}}}}),
                vec![
                    "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                    "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                    "spec.paramRef.parameterNotFoundAction: Required value",
                    r#"spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"#,
                ],
            ),
        ],
    );
}

#[test]
fn policies_that_change_objects() {
    let rule = |operation: &str| json!({"operations": [operation], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
    let policy = |mutations: serde_json::Value| {
        json!({"metadata": {"name": "p"}, "spec": {
            "matchConstraints": {"resourceRules": [rule("CREATE"), rule("CONNECT")]},
            "reinvocationPolicy": "IfNeeded",
            "variables": [{"name": "team", "expression": "object.metadata.namespace"}],
            "mutations": mutations,
        }})
    };
    let apply =
        |expression: &str| json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}});
    let patch = |expression: &str| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}});
    check(
        "admissionregistration.k8s.io",
        vec![
            (
                "mutatingadmissionpolicies",
                policy(json!([
                    apply("Object{metadata: Object.metadata{labels: {'team': variables.team}}}"),
                    patch("[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"),
                ])),
                vec![],
            ),
            (
                "mutatingadmissionpolicies",
                json!({"metadata": {"name": "p"}, "spec": {"failurePolicy": "Never"}}),
                vec![
                    r#"spec.failurePolicy: Unsupported value: "Never": supported values: "Fail", "Ignore""#,
                    "spec.matchConstraints: Required value",
                    "spec.mutations: Required value: mutations must contain at least one item",
                    "spec.reinvocationPolicy: Required value",
                ],
            ),
            (
                "mutatingadmissionpolicies",
                with(
                    with(policy(json!([{}])), "/spec/matchConstraints/resourceRules/1/operations/0", json!("DELETE")),
                    "/spec/reinvocationPolicy",
                    json!("Always"),
                ),
                vec![
                    r#"spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE""#,
                    "spec.mutations[0].patchType: Required value",
                    r#"spec.reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never""#,
                ],
            ),
            (
                "mutatingadmissionpolicies",
                policy(json!([
                    {"patchType": "Merge"},
                    {"patchType": "JSONPatch"},
                    {"patchType": "ApplyConfiguration", "jsonPatch": {"expression": "[]"}},
                    {"patchType": "JSONPatch", "jsonPatch": {"expression": " "}, "applyConfiguration": {}},
                ])),
                vec![
                    r#"spec.mutations[0].patchType: Unsupported value: "Merge": supported values: "ApplyConfiguration", "JSONPatch""#,
                    "spec.mutations[1].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                    "spec.mutations[2].applyConfiguration: Required value: must be specified when patchType is ApplyConfiguration",
                    r#"spec.mutations[2].jsonPatch: Invalid value: "{jsonPatch}": must not be specified when patchType is ApplyConfiguration"#,
                    "spec.mutations[3].jsonPatch.expression: Required value",
                    r#"spec.mutations[3].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch"#,
                ],
            ),
            (
                "mutatingadmissionpolicies",
                policy(json!([apply("{'a': 1}"), patch("[Object{}]"), apply(" variables.other "), patch("params")])),
                vec![
                    "spec.mutations[0].applyConfiguration.expression: Invalid value: \"{'a': 1}\": must evaluate to Object but got map(string, int)",
                    "spec.mutations[1].jsonPatch.expression: Invalid value: \"[Object{}]\": must evaluate to list(JSONPatch) but got list(Object)",
                    "spec.mutations[2].applyConfiguration.expression: Invalid value: \"variables.other\": compilation \
                     failed: ERROR: <input>:1:10: undefined field 'other'\n | variables.other\n | .........^",
                    "spec.mutations[3].jsonPatch.expression: Invalid value: \"params\": compilation failed: ERROR: \
                     <input>:1:1: undeclared reference to 'params' (in container '')\n | params\n | ^",
                ],
            ),
            (
                "mutatingadmissionpolicybindings",
                json!({"metadata": {"name": "b"}, "spec": {
                    "paramRef": {"name": "a"}, "matchResources": {"matchPolicy": "Some", "resourceRules": [rule("DELETE")]}}}),
                vec![
                    "spec.policyName: Required value",
                    "spec.paramRef.parameterNotFoundAction: Required value",
                    r#"spec.matchResources.matchPolicy: Unsupported value: "Some": supported values: "Equivalent", "Exact""#,
                    r#"spec.matchResources.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE""#,
                ],
            ),
        ],
    );
}

#[test]
fn expressions_must_compile() {
    let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
    let matching =
        json!({"matchPolicy": "Exact", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [rule]});
    let policy = |spec: serde_json::Value| {
        let mut whole = json!({"failurePolicy": "Fail", "matchConstraints": matching});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({"metadata": {"name": "p"}, "spec": whole})
    };
    let webhook = |condition: &str| {
        json!({"webhooks": [{"name": "a.b.c", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": "https://example.com/"}, "matchConditions": [{"name": "c", "expression": condition}]}]})
    };
    check(
        "admissionregistration.k8s.io",
        vec![
            (
                "validatingadmissionpolicies",
                policy(json!({
                    "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                    "matchConditions": [{"name": "c", "expression": "params.data.on == 'yes'"}],
                    "variables": [
                        {"name": "replicas", "expression": "object.spec.replicas"},
                        {"name": "named", "expression": "request.name != ''"},
                        {"name": "both", "expression": "variables.named && variables.replicas > 1"},
                    ],
                    "validations": [
                        {"expression": "variables.both || namespaceObject.metadata.name.startsWith('a')",
                            "messageExpression": "'too many for ' + request.userInfo.username"},
                        {"expression": "authorizer.group('').resource('pods').check('create').allowed()"},
                    ],
                    "auditAnnotations": [{"key": "k", "valueExpression": "string(variables.replicas)"}],
                })),
                vec![],
            ),
            (
                "validatingadmissionpolicies",
                policy(json!({
                    "matchConditions": [{"name": "c", "expression": "params.on"}],
                    "variables": [{"name": "a", "expression": "object.("}],
                    "validations": [
                        {"expression": "'no'", "messageExpression": "authorizer"},
                        {"expression": "variables.b && request.verb == 'x'", "messageExpression": "1"},
                    ],
                    "auditAnnotations": [{"key": "k", "valueExpression": "1"}],
                })),
                vec![
                    "spec.matchConditions[0].expression: Invalid value: \"params.on\": compilation failed: ERROR: \
                     <input>:1:1: undeclared reference to 'params' (in container '')\n | params.on\n | ^",
                    "spec.variables[0].expression: Invalid value: \"object.(\": compilation failed: ERROR: \
                     <input>:1:8: Syntax error: no viable alternative at input '.('\n | object.(\n | .......^",
                    "spec.validations[0].expression: Invalid value: \"'no'\": must evaluate to bool but got string",
                    "spec.validations[0].messageExpression: Invalid value: \"authorizer\": compilation failed: ERROR: \
                     <input>:1:1: undeclared reference to 'authorizer' (in container '')\n | authorizer\n | ^",
                    "spec.validations[1].expression: Invalid value: \"variables.b && request.verb == 'x'\": \
                     compilation failed: ERROR: <input>:1:10: undefined field 'b'\n | variables.b && request.verb \
                     == 'x'\n | .........^\nERROR: <input>:1:23: undefined field 'verb'\n | variables.b && \
                     request.verb == 'x'\n | ......................^",
                    "spec.validations[1].messageExpression: Invalid value: \"1\": must evaluate to string but got int",
                    "spec.auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of \
                     [string null_type] but got int",
                ],
            ),
            (
                "validatingwebhookconfigurations",
                webhook(" request.name == 1 "),
                vec![
                    "webhooks[0].matchConditions[0].expression: Invalid value: \"request.name == 1\": compilation \
                     failed: ERROR: <input>:1:14: found no matching overload for '_==_' applied to '(string, int)'\n | \
                     request.name == 1\n | .............^",
                ],
            ),
        ],
    );
}
