//! Who owns what after updates and applies.

use serde_json::json;

use super::super::{Filter, Set};
use super::Story;

#[test]
fn a_created_object_belongs_to_its_creator_but_for_structs_that_are_always_there() {
    let mut story = Story::deployment();
    story.filter = Filter::Without(Set::of_fields(&[&["status"]]));
    story.update(
        "kubectl-create",
        "{metadata: {name: web, namespace: default, labels: {app: web}}, status: {},
          spec: {replicas: 1, selector: {matchLabels: {app: web}}, strategy: {type: RollingUpdate,
          rollingUpdate: {maxSurge: 25%}}, template: {metadata: {labels: {app: web}}, spec: {containers: [
          {name: a, image: i, resources: {}, ports: [{containerPort: 80, protocol: TCP}]}], securityContext: {}}}}}",
    );
    assert_eq!(
        story.managed().unwrap()[0]["fieldsV1"],
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {}, "f:selector": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        "f:containers": {"k:{\"name\":\"a\"}": {
                            ".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
                            "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                                ".": {}, "f:containerPort": {}, "f:protocol": {},
                            }},
                        }},
                        "f:securityContext": {},
                    },
                },
            },
        })
    );
}

#[test]
fn an_update_takes_what_it_changes_and_drops_what_it_removes() {
    let mut story = Story::config_map();
    story.update("one", "{data: {a: '1', b: '1', c: '1'}}").update("two", "{data: {a: '1', b: '2'}}");
    story.owned(&["update one: .data .data.a", "update two: .data.b"]);
    story.update("two", "{data: {a: '1', b: '2'}}");
    story.owned(&["update one: .data .data.a", "update two: .data.b"]);
    story.update("one", "{data: {a: '1'}}").owned(&["update one: .data .data.a"]);
}

#[test]
fn an_entry_is_for_a_manager_an_operation_and_a_subresource() {
    let mut story = Story::deployment();
    story.update("kubectl", "{spec: {replicas: 1}, status: {}}").apply("kubectl", "{spec: {paused: true}}");
    story.subresource = "scale";
    story.update("kubectl", "{spec: {replicas: 2, paused: true}, status: {}}");
    story.owned(&["apply kubectl: .spec.paused", "update kubectl: .spec.replicas"]);
    story.subresource = "status";
    story.update("kubectl", "{spec: {replicas: 2, paused: true}, status: {replicas: 3}}");
    story.owned(&["apply kubectl: .spec.paused", "update kubectl: .spec.replicas", "update kubectl: .status.replicas"]);
    let subresources: Vec<&str> =
        story.managed().unwrap().as_array().unwrap().iter().filter_map(|entry| entry["subresource"].as_str()).collect();
    assert_eq!(subresources, ["scale", "status"]);
}

#[test]
fn what_a_write_resets_is_not_owned() {
    let mut story = Story::deployment();
    story.filter = Filter::Without(Set::of_fields(&[&["status"]]));
    story.update("one", "{spec: {replicas: 1}, status: {replicas: 1}}").owned(&["update one: .spec.replicas"]);
    story.apply("two", "{spec: {paused: true}, status: {replicas: 7}}");
    story.owned(&["apply two: .spec.paused", "update one: .spec.replicas"]);
}

#[test]
fn a_client_may_hand_over_managers_or_reset_them() {
    let entry =
        "{manager: x, operation: Update, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {'f:data': {'f:a': {}}}}";
    let mut story = Story::config_map();
    story.update("one", "{data: {a: '1'}}");
    story.update("two", &format!("{{metadata: {{managedFields: [{entry}]}}, data: {{a: '1', b: '1'}}}}"));
    story.owned(&["update x: .data.a", "update two: .data.b"]);
    for broken in ["{manager: x}", "{manager: x, operation: Update, apiVersion: v1, fieldsType: FieldsV2}"] {
        story.update("two", &format!("{{metadata: {{managedFields: [{broken}]}}, data: {{a: '1', b: '1'}}}}"));
        story.owned(&["update x: .data.a", "update two: .data.b"]);
    }
    for reset in ["[]", "[{}]"] {
        story.update("one", "{data: {a: '3', b: '3'}}");
        story.update("one", &format!("{{metadata: {{managedFields: {reset}}}, data: {{a: '2', b: '2'}}}}"));
        assert_eq!(story.managed(), None);
        story.update("one", "{data: {a: '4', b: '4'}}");
        assert_eq!(story.managed(), None, "an object without managers goes on without");
        story.apply("three", "{data: {c: '1'}}");
        story.owned(&["apply three: .data.c", "update before-first-apply: .data .data.a .data.b"]);
    }
}

#[test]
fn of_many_updaters_the_oldest_become_one() {
    let mut story = Story::config_map();
    let mut body = "{data: {a0: x".to_owned();
    for number in 1..=12 {
        body += &format!(", a{number}: x");
        story.update(&format!("m{number:02}"), &format!("{body}}}}}"));
    }
    let managed = story.managed().unwrap().as_array().unwrap();
    assert_eq!(managed.len(), 10);
    assert_eq!((&managed[0]["manager"], &managed[1]["manager"]), (&json!("ancient-changes"), &json!("m04")));
    let fields = json!({"f:data": {".": {}, "f:a0": {}, "f:a1": {}, "f:a2": {}, "f:a3": {}}});
    assert_eq!((&managed[0]["fieldsV1"], &managed[0]["time"]), (&fields, &json!("1970-01-01T00:00:03Z")));
}

#[test]
fn nobody_owns_what_the_server_decides() {
    let mut story = Story::config_map();
    story.apply("one", "{metadata: {name: a, namespace: b, uid: u, labels: {x: z}}}");
    story.owned(&["apply one: .metadata.labels.x"]);
    story.update(
        "two",
        "{metadata: {name: a, namespace: b, uid: u, generation: 3, creationTimestamp: t, labels: {x: z}}}",
    );
    story.owned(&["apply one: .metadata.labels.x"]);
}

/// A client may say that thousands manage an object: each is gone through once, not with all that came before.
#[test]
fn very_many_managers_own_what_they_own() {
    const MANAGERS: usize = 20_000;
    let mut story = Story::config_map();
    story.apply("one", "{data: {gone: x, kept: x}}");
    let live = story.live.as_mut().unwrap();
    let one = live.list(&["metadata", "managedFields"]).to_vec();
    let other = |number: usize| {
        json!({
            "manager": format!("m{number}"), "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {format!("f:k{number}"): {}}},
        })
    };
    for number in 0..MANAGERS {
        live.set(&["data", &format!("k{number}")], "x");
    }
    live.set(&["metadata", "managedFields"], one.into_iter().chain((0..MANAGERS).map(other)).collect::<Vec<_>>());
    story.apply("one", "{data: {kept: x}}");
    let data = story.live.as_ref().unwrap().map(&["data"]).unwrap();
    assert_eq!((data.len(), data.contains_key("gone")), (MANAGERS + 1, false));
}
