use control::Change;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use std::sync::Arc;

use super::kinds::{classes_of_claim, freed_claims, uses};
use super::{Step, step};

fn pod(extra: &Value, volume: &Value) -> Pod {
    let mut pod = json!({ "metadata": { "name": "web", "namespace": "default", "uid": "u1" },
        "spec": { "nodeName": "n1", "containers": [], "volumes": [volume] } });
    json_patch(&mut pod, extra);
    serde_json::from_value(pod).expect("a pod")
}

fn json_patch(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(name, value)| json_patch(into.entry(name).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}

fn claim(name: &str, owner: Option<&str>) -> PersistentVolumeClaim {
    let by = |uid| json!([{ "apiVersion": "v1", "kind": "Pod", "name": "web", "uid": uid, "controller": true }]);
    let metadata = json!({ "name": name, "namespace": "default", "ownerReferences": owner.map(by) });
    serde_json::from_value(json!({ "metadata": metadata })).expect("a claim")
}

#[test]
fn a_finalizer_comes_first_and_goes_last() {
    let meta = |terminating: bool, finalizers: &[&str]| -> ObjectMeta {
        let time = terminating.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({ "deletionTimestamp": time, "finalizers": finalizers })).expect("metadata")
    };
    for (terminating, finalizers, expected) in [
        (false, &["other"][..], Step::Add),
        (false, &["f"], Step::Nothing),
        (true, &["f", "other"], Step::RemoveIfUnused),
        (true, &["other"], Step::Nothing),
    ] {
        assert_eq!(step(&meta(terminating, finalizers), "f"), expected, "{terminating} {finalizers:?}");
    }
}

#[test]
fn pods_on_nodes_hold_their_claims() {
    let plain = json!({ "name": "v", "persistentVolumeClaim": { "claimName": "data" } });
    let ephemeral = json!({ "name": "v", "ephemeral": {} });
    let shut_down =
        json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0 } });
    let going =
        json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30 } });
    for (extra, volume, claim, expected) in [
        (json!({}), &plain, claim("data", None), true),
        (json!({}), &plain, claim("other", None), false),
        (json!({ "spec": { "nodeName": null } }), &plain, claim("data", None), false),
        (json!({ "status": { "phase": "Succeeded" } }), &plain, claim("data", None), true),
        (shut_down.clone(), &plain, claim("data", None), true),
        (json!({}), &ephemeral, claim("web-v", Some("u1")), true),
        (json!({}), &ephemeral, claim("web-v", Some("u2")), false),
        (json!({}), &ephemeral, claim("web-v", None), false),
        (going, &ephemeral, claim("web-v", Some("u1")), true),
        (shut_down, &ephemeral, claim("web-v", Some("u1")), false),
    ] {
        assert_eq!(uses(&pod(&extra, volume), &claim), expected, "{extra} {volume} {claim:?}");
    }
}

#[test]
fn claims_are_looked_at_when_a_pod_lets_go() {
    let volume = json!({ "name": "v", "persistentVolumeClaim": { "claimName": "data" } });
    let pod = |extra: Value| Arc::new(pod(&extra, &volume));
    let keys = |change: Change<Pod>| freed_claims(&change).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(keys(Change::Added(pod(json!({})))), [""; 0]);
    assert_eq!(keys(Change::Added(pod(json!({ "spec": { "nodeName": null } })))), ["default/data"]);
    assert_eq!(keys(Change::Added(pod(json!({ "status": { "phase": "Failed" } })))), ["default/data"]);
    assert_eq!(keys(Change::Deleted(pod(json!({})))), ["default/data"]);
    let renewed = Change::Updated { old: pod(json!({})), new: pod(json!({ "metadata": { "uid": "u2" } })) };
    assert_eq!(keys(renewed), ["default/data"]);
}

#[test]
fn a_claim_names_the_classes_it_has_and_gets() {
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {},
        "spec": { "volumeAttributesClassName": "gold" },
        "status": {
            "currentVolumeAttributesClassName": "silver",
            "modifyVolumeStatus": { "status": "InProgress", "targetVolumeAttributesClassName": "bronze" },
        },
    }))
    .expect("a claim");
    assert_eq!(classes_of_claim(&claim).into_iter().collect::<Vec<_>>(), ["bronze", "gold", "silver"]);
}
