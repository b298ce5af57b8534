use serde_json::json;

use super::*;

const POD: &str = "io.k8s.api.core.v1.Pod";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const CRD: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";

fn warn(message: &str, text: &str) -> (Value, Vec<String>) {
    let (object, problems) = decode_json(text.as_bytes(), message, FieldPolicy::Warn).expect(text);
    (object.into_value(), problems)
}

fn refusal(message: &str, text: &str) -> String {
    decode_json(text.as_bytes(), message, FieldPolicy::Strict).expect_err(text).message
}

#[test]
fn known_fields_are_kept_as_they_are() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"x": "y"}},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}],
            "livenessProbe": {"httpGet": {"port": "http"}}, "resources": {"limits": {"cpu": "100m"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}]}, "status": {}});
    assert_eq!(warn(POD, &pod.to_string()), (pod, Vec::new()));
}

#[test]
fn unknown_and_duplicate_fields_are_named_and_dropped() {
    let (pod, problems) = warn(
        POD,
        r#"{"kind":"Pod","Kind":"x","metadata":{"name":"a","name":"b","labels":{"x":"1","x":"2"}},
            "spec":{"foo":{"a":1},"containers":[{"name":"c","bar":1}]}}"#,
    );
    assert_eq!(pod["metadata"], json!({"name": "b", "labels": {"x": "2"}}));
    assert_eq!(pod["spec"], json!({"containers": [{"name": "c", "resources": {}}]}));
    assert_eq!(
        problems,
        [
            r#"unknown field "Kind""#,
            r#"duplicate field "metadata.name""#,
            r#"duplicate field "metadata.labels.x""#,
            r#"unknown field "spec.foo""#,
            r#"unknown field "spec.containers[0].bar""#,
        ]
    );
}

#[test]
fn strict_decoding_fails_in_upstreams_words() {
    assert_eq!(
        refusal(DEPLOYMENT, r#"{"apiVersion":"apps/v1","kind":"Deployment","spec":{"foo":1,"bar":2}}"#),
        "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
         unknown field \"spec.foo\", unknown field \"spec.bar\""
    );
}

#[test]
fn wrong_types_fail_in_upstreams_words() {
    let table = [
        (r#"{"spec":{"replicas":"3"}}"#, "string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (r#"{"spec":{"replicas":1.5}}"#, "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (r#"{"spec":{"paused":1}}"#, "number into Go struct field DeploymentSpec.spec.paused of type bool"),
        (r#"{"metadata":{"labels":{"a":1}}}"#, "number into Go struct field ObjectMeta.metadata.labels of type string"),
        (
            r#"{"metadata":{"labels":[]}}"#,
            "array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (r#"{"spec":[]}"#, "array into Go struct field Deployment.spec of type v1.DeploymentSpec"),
        (
            r#"{"spec":{"template":{"spec":{"containers":[{"env":[{"value":1}]}]}}}}"#,
            "number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            r#"{"spec":{"template":{"spec":{"containers":{}}}}}"#,
            "object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
    ];
    for (text, expected) in table {
        let message = refusal(DEPLOYMENT, text);
        assert!(message.ends_with(&format!("json: cannot unmarshal {expected}")), "{text}: {message}");
    }
}

#[test]
fn special_values_are_checked_and_stored_canonically() {
    let (pod, _) = warn(
        POD,
        r#"{"metadata":{"creationTimestamp":"2026-01-01T02:00:00.5+02:00"},
            "spec":{"containers":[{"resources":{"limits":{"cpu":0.5,"memory":"1024Mi"}}}]}}"#,
    );
    assert_eq!(pod["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "500m", "memory": "1Gi"}));
    let limits = r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"much"}}}]}}"#;
    assert!(refusal(POD, limits).contains("quantities must match the regular expression"));
    let time = r#"{"metadata":{"creationTimestamp":"yesterday"}}"#;
    assert!(refusal(POD, time).contains("parsing time \"yesterday\" as"));
    let secret = refusal("io.k8s.api.core.v1.Secret", r#"{"data":{"a":"b!"}}"#);
    assert!(secret.ends_with("illegal base64 data at input byte 1"), "{secret}");
}

#[test]
fn what_says_nothing_is_dropped() {
    let (pod, problems) = warn(
        POD,
        r#"{"metadata":{"name":"a","labels":null,"annotations":{},"finalizers":[]},
            "spec":{"containers":[],"nodeSelector":{},"securityContext":{},"hostname":null}}"#,
    );
    assert_eq!(pod["metadata"], json!({"name": "a"}));
    assert_eq!(pod["spec"], json!({"containers": [], "securityContext": {}}));
    assert_eq!(problems, [""; 0]);
}

#[test]
fn what_go_always_shows_is_there() {
    let (deployment, _) = warn(
        DEPLOYMENT,
        r#"{"spec":{"replicas":0,"minReadySeconds":0,"paused":false,"template":{"spec":{"containers":[{"image":""}]}}},
            "status":{"updatedReplicas":0,"readyReplicas":1}}"#,
    );
    let template = json!({"metadata": {}, "spec": {"containers": [{"resources": {}}]}});
    assert_eq!(deployment["spec"], json!({"replicas": 0, "strategy": {}, "template": template}));
    assert_eq!(deployment["status"], json!({"readyReplicas": 1}));
}

#[test]
fn a_document_that_says_nothing_is_an_object_without_fields() {
    let empty = warn(DEPLOYMENT, "{}");
    assert_eq!(warn(DEPLOYMENT, "null"), empty);
    for yaml in ["", "null", "# nothing", "---\n"] {
        let (object, problems) = decode_yaml(yaml.as_bytes(), DEPLOYMENT, FieldPolicy::Strict).expect(yaml);
        assert_eq!((object.into_value(), problems), empty, "{yaml:?}");
    }
}

#[test]
fn schemas_of_custom_resources_take_their_unions() {
    let text = json!({"metadata": {}, "status": {"acceptedNames": {}}, "spec": {"names": {}, "versions": [{"name": "v1", "schema": {"openAPIV3Schema": {
        "type": "object", "default": {"a": {}}, "additionalProperties": false,
        "properties": {"a": {"items": {"type": "string"}, "enum": [1, null], "additionalProperties": {"type": "integer"}}},
    }}}]}});
    assert_eq!(warn(CRD, &text.to_string()), (text, Vec::new()));
}

#[test]
fn yaml_reads_as_json_does() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\nspec:\n  volumes:\n  - name: v\n    \
        configMap: {defaultMode: 0644}\n  hostNetwork: yes\n  x: 1\n";
    let (pod, problems) = decode_yaml(text.as_bytes(), POD, FieldPolicy::Warn).expect("a pod");
    assert_eq!(pod.name(), "b");
    assert_eq!(
        pod.get(&["spec"]),
        Some(&json!({
        "hostNetwork": true, "volumes": [{"name": "v", "configMap": {"defaultMode": 420}}]}))
    );
    let repeated = "yaml: unmarshal errors:\n  line 5: key \"name\" already set in map";
    assert_eq!(problems, [repeated, r#"unknown field "spec.x""#]);
}

#[test]
fn of_a_stream_of_documents_the_first_counts() {
    let name = |text: &str| decode_yaml(text.as_bytes(), POD, FieldPolicy::Warn).map(|(pod, _)| pod.name().to_owned());
    for text in [
        "metadata: {name: a}\n---\nmetadata: {name: b}\n",
        "# first\n%YAML 1.2\n--- # here\nmetadata: {name: a}\n...\nrubbish: [",
        "---\nmetadata:\n  name: a\n--- \n",
        "metadata:\n  name: a\n  annotations: {x: '---y'}\n",
    ] {
        assert_eq!(name(text).as_deref(), Ok("a"), "{text}");
    }
    assert_eq!(name("---\n---\nmetadata: {name: b}\n").as_deref(), Ok(""));
}

#[test]
fn keys_that_yaml_repeats_are_told_by_their_lines() {
    let text = "\na:\n  b: 1\n  b: {x: 1, x: 2}\nc:\n- d: 1\n  d:\n    e: 2\na: null\n";
    let (value, problems) = parse_yaml(text.as_bytes()).expect("YAML");
    assert_eq!(value, json!({"a": null, "c": [{"d": {"e": 2}}]}));
    let told = "yaml: unmarshal errors:\n  line 4: key \"x\" already set in map\n  \
                line 4: key \"b\" already set in map\n  line 8: key \"d\" already set in map\n  \
                line 9: key \"a\" already set in map";
    assert_eq!(problems, [told]);
}

#[test]
fn what_is_no_object_is_summarized() {
    let message = refusal(POD, "hello");
    assert!(
        message.starts_with("the object provided is unrecognized (must be of type Pod): couldn't get version/kind;")
    );
    assert!(message.ends_with("(68656c6c6f)"), "{message}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(decode_json(format!(r#"{{"spec":{deep}}}"#).as_bytes(), POD, FieldPolicy::Ignore).is_err());
}

#[test]
fn patches_are_read_without_a_schema() {
    let (value, problems) = parse_json(br#"{"spec":{"a":1,"a":2}}"#).expect("JSON");
    assert_eq!((value, problems), (json!({"spec": {"a": 2}}), vec![r#"duplicate field "spec.a""#.to_owned()]));
    assert_eq!(parse_yaml(b"a: [1, {b: c}]").expect("YAML").0, json!({"a": [1, {"b": "c"}]}));
}

#[test]
fn a_patched_object_that_does_not_fit_is_invalid() {
    let error = decode_patched(json!({"spec": {"x": 1}}), POD, FieldPolicy::Strict).expect_err("an unknown field");
    assert_eq!(error.code(), 422);
    let expected = r#" "" is invalid: patch: Invalid value: "{\"spec\":{\"x\":1}}": strict decoding error: unknown field "spec.x""#;
    assert_eq!(error.message, expected);
}
