//! Server-side apply over HTTP.

use serde_json::{Value, json};

use crate::support::{Api, Got, start};

const MAP: &str = "/api/v1/namespaces/default/configmaps/a";
const APPLY: &str = "application/apply-patch+yaml";
const CONFIG: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: '1'}}";

async fn ready() -> Api {
    start().await.bootstrapped().await
}

async fn apply(api: &Api, query: &str, body: &str) -> Got {
    api.send("PATCH", &format!("{MAP}?{query}"), &[("content-type", APPLY)], body).await
}

#[tokio::test]
async fn an_apply_creates_with_201_and_changes_with_200() {
    let api = ready().await;
    let made = apply(&api, "fieldManager=me", CONFIG).await.expect(201);
    assert_eq!(made["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:data": {"f:a": {}}}));
    let again = apply(&api, "fieldManager=me", CONFIG).await.expect(200);
    assert_eq!(again, made);
}

#[tokio::test]
async fn an_apply_needs_a_manager_and_only_an_apply_is_forced() {
    let api = ready().await;
    let invalid = "422 Invalid: PatchOptions.meta.k8s.io \"\" is invalid:";
    assert_eq!(
        apply(&api, "", CONFIG).await.problem(),
        format!("{invalid} fieldManager: Required value: is required for apply patch")
    );
    let long = "x".repeat(129);
    let too_long = apply(&api, &format!("fieldManager={long}"), CONFIG).await;
    assert_eq!(too_long.problem(), format!("{invalid} fieldManager: Too long: may not be more than 128 bytes"));
    let forced = api.patch(&format!("{MAP}?force=true"), "application/merge-patch+json", &json!({})).await;
    assert_eq!(forced.problem(), format!("{invalid} force: Forbidden: may not be specified for non-apply patch"));
}

#[tokio::test]
async fn other_forms_of_apply_are_not_served() {
    let api = ready().await;
    let cbor = api.send("PATCH", MAP, &[("content-type", "application/apply-patch+cbor")], "").await;
    assert_eq!(cbor.problem(), "415 UnsupportedMediaType: 415: Unsupported Media Type");
}

#[tokio::test]
async fn a_conflict_is_a_status_with_causes() {
    let api = ready().await;
    apply(&api, "fieldManager=one", CONFIG).await.expect(201);
    let changed = CONFIG.replace("'1'", "'2'");
    let refused = apply(&api, "fieldManager=two", &changed).await;
    assert_eq!(refused.problem(), "409 Conflict: Apply failed with 1 conflict: conflict with \"one\": .data.a");
    let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.a"});
    assert_eq!(refused.json()["details"]["causes"], json!([cause]));
    let forced = apply(&api, "fieldManager=two&force=true", &changed).await.expect(200);
    assert_eq!(forced["data"]["a"], "2");
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_is_refused() {
    let api = ready().await;
    let unknown = apply(&api, "fieldManager=me", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, x: 1}").await;
    let message = "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .x: field not declared in schema";
    assert_eq!(unknown.problem(), format!("500 : {message}"));
    assert_eq!(unknown.json().get("reason"), None);
    let broken = apply(&api, "fieldManager=me", "{").await;
    assert!(broken.problem().starts_with("400 BadRequest: error decoding YAML: "), "{}", broken.problem());
    let twice = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: '1', a: '2'}}";
    let strict = apply(&api, "fieldManager=me&fieldValidation=Strict", twice).await;
    let told = "error converting YAML to JSON: yaml: unmarshal errors:\n  line 1: key \"a\" already set in map";
    assert_eq!(strict.problem(), format!("400 BadRequest: error strict decoding YAML: {told}"));
    let warned = apply(&api, "fieldManager=me", twice).await;
    assert_eq!((warned.status.as_u16(), warned.headers.contains_key("warning")), (201, true));
    assert_eq!(
        apply(&api, "fieldManager=me", "{apiVersion: v1, kind: Secret, metadata: {name: a}}").await.problem(),
        "400 BadRequest: invalid object type: /v1, Kind=Secret"
    );
}

#[tokio::test]
async fn a_manager_is_who_says_so_or_what_the_user_agent_says() {
    let api = ready().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let body = json!({"metadata": {"name": "b"}, "data": {"a": "1"}}).to_string();
    let made = api.send("POST", maps, &[("user-agent", "tool/v1 (linux)")], &body).await.expect(201);
    let manager = |object: &Value| object["metadata"]["managedFields"][0]["manager"].clone();
    assert_eq!(manager(&made), "tool");
    let body = body.replace("\"b\"", "\"c\"");
    let made = api.send("POST", &format!("{maps}?fieldManager=me"), &[("user-agent", "tool")], &body).await.expect(201);
    assert_eq!(manager(&made), "me");
}
