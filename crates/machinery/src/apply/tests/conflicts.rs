//! What an apply may not change, and how it says so.

use serde_json::json;

use super::Story;
use crate::error::Reason;

#[test]
fn a_conflict_names_the_manager_and_the_field() {
    let mut story = Story::deployment();
    story.update("kubectl", "{spec: {replicas: 1}}");
    let error = story.try_apply("me", "{spec: {replicas: 2}}", false).unwrap_err();
    assert_eq!(
        (error.reason, error.message.as_str()),
        (Reason::Conflict, "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas")
    );
    assert_eq!(
        error.status()["details"],
        json!({"causes": [{"reason": "FieldManagerConflict", "field": ".spec.replicas",
            "message": "conflict with \"kubectl\" using apps/v1"}]})
    );
}

#[test]
fn conflicts_are_listed_manager_by_manager() {
    let mut story = Story::config_map();
    story.apply("two", "{data: {a: '1', b: '1'}}").apply("one", "{data: {c: '1'}}");
    assert_eq!(
        story.refused("me", "{data: {a: '2', b: '2', c: '2', d: '2'}}"),
        "Apply failed with 3 conflicts: conflicts with \"one\":\n- .data.c\nconflicts with \"two\":\n- .data.a\n- .data.b"
    );
    story.subresource = "status";
    story.update("three", "{data: {a: '3', b: '1', c: '1'}}");
    story.subresource = "";
    assert_eq!(
        story.refused("me", "{data: {a: '2'}}"),
        "Apply failed with 1 conflict: conflict with \"three\" with subresource \"status\" using v1: .data.a"
    );
}

#[test]
fn the_same_value_is_no_conflict_and_shared() {
    let mut story = Story::config_map();
    story.apply("one", "{data: {a: '1'}}").apply("two", "{data: {a: '1'}}");
    story.owned(&["apply one: .data.a", "apply two: .data.a"]);
    story.apply("one", "{data: {}}").says("{data: {a: '1'}}").apply("two", "{data: {}}").says("{}");
}

#[test]
fn force_moves_the_field() {
    let mut story = Story::config_map();
    story.apply("one", "{data: {a: '1', b: '1'}}").force("two", "{data: {a: '2'}}");
    story.owned(&["apply one: .data.b", "apply two: .data.a"]).says("{data: {a: '2', b: '1'}}");
    assert!(story.refused("one", "{data: {a: '1', b: '1'}}").contains("\"two\": .data.a"));
}

#[test]
fn applying_the_same_again_changes_nothing_not_even_the_time() {
    let mut story = Story::config_map();
    story.apply("one", "{data: {a: '1'}}");
    let before = story.live.clone();
    story.apply("one", "{data: {a: '1'}}");
    assert_eq!(story.live, before);
    story.apply("one", "{data: {a: '2'}}");
    assert_eq!(story.managed().unwrap()[0]["time"], "1970-01-01T00:00:03Z");
}

#[test]
fn the_configuration_must_be_of_the_kind_and_without_managers() {
    let mut story = Story::config_map();
    assert_eq!(story.refused("one", "{metadata: {managedFields: []}}"), "metadata.managedFields must be nil");
    let other = Story::pod().object("{}");
    let error = story.write("one", |writer| writer.apply(None, &other, false)).unwrap_err();
    assert_eq!((error.code(), error.message.as_str()), (400, "invalid object type: /v1, Kind=Pod"));
}

const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object as `kubectl apply` leaves it, which updates.
fn applied_by_the_client(data: &str) -> String {
    format!(
        "{{metadata: {{annotations: {{{APPLIED}: '{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"data\": {{\"a\": \"1\"}}}}'}}}}, \
         data: {data}}}"
    )
}

#[test]
fn kubectl_takes_over_what_it_applied_itself() {
    let mut story = Story::config_map();
    story.update("kubectl-client-side-apply", &applied_by_the_client("{a: '1'}"));
    assert!(story.refused("me", "{data: {a: '2'}}").contains("conflict with \"kubectl-client-side-apply\" using v1"));
    story.apply("kubectl", "{data: {a: '2'}}");
    let annotation = story.live.as_ref().unwrap().annotation(APPLIED).unwrap().to_owned();
    assert_eq!(annotation, "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\"},\"kind\":\"ConfigMap\"}\n");
}

#[test]
fn kubectl_does_not_take_what_others_changed_since() {
    let mut story = Story::config_map();
    story.update("kubectl-client-side-apply", &applied_by_the_client("{a: '1'}"));
    story.update("other", &applied_by_the_client("{a: '9'}"));
    assert!(story.refused("kubectl", "{data: {a: '2'}}").contains("conflict with \"other\" using v1: .data.a"));
}
