//! The scale subresource, and kinds of several versions.

use registry::{Patch, Target, WatchEvent, WatchOptions};
use serde_json::json;

use crate::{Api, api, kind, object};

async fn with_deployment() -> Api {
    let api = api().await;
    let body = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    api.create(kind("apps", "v1", "deployments"), body).await.unwrap();
    api
}

#[tokio::test]
async fn replicas_are_read_and_written_through_scale() {
    let api = with_deployment().await;
    let deployments = kind("apps", "v1", "deployments");
    let mut scale = api.registry.scale(deployments, "default", "web").await.unwrap();
    assert_eq!((scale.int(&["spec", "replicas"]), scale.str(&["status", "selector"])), (Some(2), "a=b"));
    scale.set(&["spec", "replicas"], 5);
    let update = api.registry.update(&api.cx, deployments, "default", "web", Target::Scale, scale.clone());
    let written = update.await.unwrap().entry.object();
    assert_eq!((written.kind(), written.int(&["spec", "replicas"])), ("Scale", Some(5)));
    let stale = api.registry.update(&api.cx, deployments, "default", "web", Target::Scale, scale).await.unwrap_err();
    assert_eq!(stale.code(), 409);
    let patch = Patch::Merge(json!({"spec": {"replicas": 7}}));
    api.registry.patch(&api.cx, deployments, "default", "web", Target::Scale, &patch).await.unwrap();
    let deployment = api.registry.get(deployments, "default", "web", "").await.unwrap().object();
    assert_eq!((deployment.int(&["spec", "replicas"]), deployment.generation()), (Some(7), 3));
}

#[tokio::test]
async fn the_scale_of_another_object_is_refused() {
    let api = with_deployment().await;
    let deployments = kind("apps", "v1", "deployments");
    let mut scale = api.registry.scale(deployments, "default", "web").await.unwrap();
    let is = scale.uid().to_owned();
    scale.set(&["metadata", "uid"], "other");
    let put = api.registry.update(&api.cx, deployments, "default", "web", Target::Scale, scale).await.unwrap_err();
    assert!(put.to_string().contains("deployments.apps \"web\": StorageError: invalid object, Code: 4"), "{put}");
    let patch = Patch::Merge(json!({"metadata": {"uid": "other"}, "spec": {"replicas": 7}}));
    let error = api.registry.patch(&api.cx, deployments, "default", "web", Target::Scale, &patch).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Operation cannot be fulfilled on deployments/scale.apps \"web\": Precondition failed: UID in precondition: \
             other, UID in object meta: {is}"
        )
    );
}

#[tokio::test]
async fn a_negative_scale_is_invalid() {
    let api = with_deployment().await;
    let deployments = kind("apps", "v1", "deployments");
    let patch = Patch::Merge(json!({"spec": {"replicas": -1}}));
    let error = api.registry.patch(&api.cx, deployments, "default", "web", Target::Scale, &patch).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Scale.autoscaling \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    let none = api.registry.scale(kind("", "v1", "pods"), "default", "web").await.unwrap_err();
    assert_eq!(none.code(), 404);
}

#[tokio::test]
async fn events_are_one_object_in_two_versions() {
    let api = api().await;
    let (core, new) = (kind("", "v1", "events"), kind("events.k8s.io", "v1", "events"));
    let mut watch = api.registry.watch(new, "default", &WatchOptions::default()).await.unwrap();
    let body = json!({"metadata": {"name": "e", "namespace": "default"}, "reason": "Because", "message": "it is so",
        "type": "Normal", "action": "Act", "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingComponent": "test", "reportingInstance": "test-1", "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web"}});
    api.create(core, body).await.unwrap();
    let seen = api.registry.get(new, "default", "e", "").await.unwrap();
    assert_eq!((seen.object().api_version(), seen.object().str(&["note"])), ("events.k8s.io/v1", "it is so"));
    let Some(WatchEvent::Added(watched)) = watch.next().await else { panic!("it was added") };
    assert_eq!((watched.json(), watched.name()), (seen.json(), "e"));
    let mut body = seen.object();
    let again = json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"});
    body.set(&["series"], again.clone());
    api.registry.update(&api.cx, new, "default", "e", Target::Main, body).await.unwrap();
    let old = api.registry.get(core, "default", "e", "").await.unwrap().object();
    assert_eq!((old.api_version(), old.str(&["message"])), ("v1", "it is so"));
    assert_eq!(old.get(&["series"]), Some(&again));
    let listed = api.registry.list(new, "", &Default::default()).await.unwrap();
    assert_eq!(listed.items[0].object().kind(), "Event");
    assert_eq!(object(json!({})).kind(), "");
}
