//! What conformance asks of every kind of the API: that it is in discovery, and is created, read, listed, watched, patched,
//! updated and deleted, one by one and together.

use http::Request;
use http_body_util::{BodyExt as _, Full};
use kinds::{KindDef, Verb};
use machinery::Object;
use serde_json::{Value, json};

use crate::minimal::minimal;
use crate::support::{Api, Options, start_with};

const BACKGROUND: &str = "propagationPolicy=Background";
const SELECTED: &str = "labelSelector=operations%3Dyes";
const MERGE: &str = "application/merge-patch+json";

/// The paths of a kind.
struct Paths {
    group: String,
    everywhere: String,
    here: String,
}

fn paths(kind: &KindDef) -> Paths {
    let group = match kind.group {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    };
    let everywhere = format!("{group}/{}", kind.resource);
    let here = match kind.namespaced() {
        true => format!("{group}/namespaces/default/{}", kind.resource),
        false => everywhere.clone(),
    };
    Paths { group, everywhere, here }
}

fn body(kind: &KindDef) -> Object {
    let mut object = minimal(kind);
    object.remove(&["metadata", "uid"]);
    object.set(&["apiVersion"], kind.group_version().to_string());
    object.set(&["kind"], kind.kind);
    object.set(&["metadata", "labels", "operations"], "yes");
    object
}

async fn listed(api: &Api, path: &str) -> Vec<Value> {
    let list = api.get(&format!("{path}?{SELECTED}")).await.expect(200);
    list["items"].as_array().cloned().unwrap_or_default()
}

/// The types of the events until this many have come, and what each says that was annotated.
async fn events(watch: &mut apiserver::Body, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut text = String::new();
    while seen.len() < count {
        let frame = watch.frame().await.expect("the watch goes on").unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap_or_default()).unwrap());
        while let Some((line, rest)) = text.clone().split_once('\n') {
            let event: Value = serde_json::from_str(line).unwrap();
            let said = event["object"]["metadata"]["annotations"]["step"].as_str().unwrap_or_default();
            seen.push(format!("{} {said}", event["type"].as_str().unwrap()));
            text = rest.to_owned();
        }
    }
    seen
}

async fn operate(api: &Api, kind: &'static KindDef) {
    let Paths { group, everywhere, here } = paths(kind);
    let resources = api.get(&group).await.expect(200)["resources"].clone();
    let known = resources.as_array().unwrap().iter().any(|resource| resource["name"] == kind.resource);
    assert!(known, "{kind:?} is in discovery");

    let watched = format!("{everywhere}?watch=1&{SELECTED}&resourceVersion=0");
    let request = Request::get(watched).header("authorization", "Bearer admin").body(Full::default()).unwrap();
    let mut watch = api.raw(request).await.into_body();

    let object = body(kind);
    let path = format!("{here}/{}", object.name());
    let made = api.post(&here, &object.clone().into_value()).await.expect(201);
    let read = api.get(&path).await.expect(200);
    assert_eq!(read["metadata"]["uid"], made["metadata"]["uid"], "{kind:?}");
    for place in [&everywhere, &here] {
        assert_eq!(listed(api, place).await.len(), 1, "{kind:?} in {place}");
    }
    let step = |step: &str| json!({"metadata": {"annotations": {"step": step}}});
    let patched = api.patch(&path, MERGE, &step("patched")).await.expect(200);
    assert_eq!(patched["metadata"]["annotations"]["step"], "patched", "{kind:?}");
    let mut changed = patched.clone();
    changed["metadata"]["annotations"]["step"] = json!("updated");
    let updated = api.put(&path, &changed).await.expect(200);
    assert_eq!(updated["metadata"]["annotations"]["step"], "updated", "{kind:?}");
    let stale = api.put(&path, &changed).await.expect(409);
    assert_eq!(stale["reason"], "Conflict", "{kind:?}");
    assert_eq!(events(&mut watch, 3).await, ["ADDED ", "MODIFIED patched", "MODIFIED updated"], "{kind:?}");
    if kind.subresource("status").is_some() {
        let status = format!("{path}/status");
        let read = api.get(&status).await.expect(200);
        assert_eq!(read["metadata"]["uid"], made["metadata"]["uid"], "{kind:?}");
        let unchanged = api.put(&status, &read).await.expect(200);
        assert_eq!(unchanged, read, "{kind:?}");
        api.patch(&status, MERGE, &json!({"status": {}})).await.expect(200);
    }
    // By default dependents of some kinds are orphaned first, and nobody does that here.
    api.delete(&format!("{path}?{BACKGROUND}")).await.expect(200);
    gone(api, kind, &path).await;
    if kind.allows(Verb::DeleteCollection) && kind.kind != "CustomResourceDefinition" {
        api.post(&here, &object.into_value()).await.expect(201);
        api.delete(&format!("{here}?{SELECTED}&{BACKGROUND}")).await.expect(200);
        gone(api, kind, &path).await;
        assert_eq!(listed(api, &everywhere).await.len(), 0, "{kind:?}");
    }
}

/// Gone, or on its way where somebody has to make room first.
async fn gone(api: &Api, kind: &KindDef, path: &str) {
    let got = api.get(path).await;
    match kind.kind {
        "Namespace" | "CustomResourceDefinition" => {
            let terminating = got.status == 404 || got.json()["metadata"]["deletionTimestamp"].is_string();
            assert!(terminating, "{kind:?}: {got:?}");
        }
        _ => assert_eq!(got.status, 404, "{kind:?}: {got:?}"),
    }
}

#[tokio::test]
async fn every_kind_knows_every_operation() {
    let options = Options { runtime_config: vec!["api/beta=true".to_owned()], ..Options::default() };
    let api = start_with(options).await.bootstrapped().await;
    for kind in kinds::known().iter().filter(|kind| !kind.virtual_kind && kind.conversion.is_none()) {
        operate(&api, kind).await;
    }
}

#[tokio::test]
async fn what_has_no_metadata_is_not_shown_as_a_table() {
    let api = start_with(Options::default()).await;
    let review = json!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}).to_string();
    let table = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let headers = [table, ("content-type", "application/json")];
    let got = api.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &headers, review).await;
    assert_eq!(got.expect(406)["reason"], "NotAcceptable");
}
