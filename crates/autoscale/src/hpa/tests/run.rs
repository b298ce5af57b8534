//! The controller against a scripted server.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use control::{Controller, Informer, ObjectKey, Recorder, Requeue};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::target::Targets;
use super::super::{Autoscaler, SYNC_PERIOD};
use super::*;
use crate::sampler::ResourceMetrics;
use crate::testing::{answer, client};

struct Fixed(Arc<Readings>);

#[async_trait]
impl ResourceMetrics for Fixed {
    async fn readings(&self) -> Arc<Readings> {
        self.0.clone()
    }
}

/// A server with one Deployment of two pods.
#[derive(Clone)]
struct Server(Arc<Mutex<State>>);

struct State {
    replicas: i64,
    version: u64,
    /// As many writes of the scale are answered with a conflict.
    conflicts: usize,
    requests: Vec<String>,
    status: Value,
}

impl Server {
    fn new(conflicts: usize) -> Self {
        let state = State { replicas: 2, version: 7, conflicts, requests: Vec::new(), status: Value::Null };
        Self(Arc::new(Mutex::new(state)))
    }

    async fn serve(self, request: Request<Body>) -> Response<Full<Bytes>> {
        let line = format!("{} {}", request.method(), request.uri().path());
        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut state = self.0.lock();
        let (code, answered) = state.answer(&line, body);
        state.requests.push(line);
        answer(code, answered.to_string())
    }
}

impl State {
    fn answer(&mut self, line: &str, body: Value) -> (u16, Value) {
        match line {
            "GET /apis" => (200, json!({ "kind": "APIGroupList", "groups": [] })),
            "GET /apis/apps/v1" => (
                200,
                json!({ "groupVersion": "apps/v1", "resources": [
                { "name": "deployments/scale", "singularName": "", "namespaced": true, "kind": "Scale", "verbs": ["get"] },
                { "name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment", "verbs": ["get"] },
            ] }),
            ),
            "GET /apis/apps/v1/namespaces/shop/deployments/web/scale" => (200, self.scale()),
            "PUT /apis/apps/v1/namespaces/shop/deployments/web/scale" if self.conflicts > 0 => {
                self.conflicts -= 1;
                self.version += 1;
                (409, status(409, "Conflict"))
            }
            "PUT /apis/apps/v1/namespaces/shop/deployments/web/scale" => {
                assert_eq!(body["metadata"]["resourceVersion"], json!(self.version.to_string()));
                self.replicas = body["spec"]["replicas"].as_i64().expect("a number");
                (200, self.scale())
            }
            "PUT /apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web/status" => {
                self.status = body["status"].clone();
                (200, body)
            }
            _ => (404, status(404, "NotFound")),
        }
    }

    fn scale(&self) -> Value {
        json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": { "name": "web", "namespace": "shop", "resourceVersion": self.version.to_string() },
            "spec": { "replicas": self.replicas },
            "status": { "replicas": self.replicas, "selector": "app=web" },
        })
    }
}

fn status(code: u16, reason: &str) -> Value {
    json!({ "kind": "Status", "status": "Failure", "message": "it said no", "reason": reason, "code": code })
}

fn scaler(kind: &str) -> HorizontalPodAutoscaler {
    let metric = json!({ "type": "Resource", "resource": {
        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } } });
    serde_json::from_value(json!({
        "metadata": { "namespace": "shop", "name": "web", "uid": "h1", "resourceVersion": "3" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": kind, "name": "web" },
            "minReplicas": 1, "maxReplicas": 5, "metrics": [metric],
        },
    }))
    .unwrap()
}

/// Looks once at an autoscaler of a target of this kind, and gives the events.
async fn look(server: &Server, kind: &str) -> Vec<String> {
    let (recorder, mut notes) = Recorder::captured();
    let server = server.clone();
    let client = client(move |request| server.clone().serve(request));
    let (scalers, pods) = (Informer::detached(), Informer::detached());
    let (scene, readings) = scene("a=80 b=60");
    scene.iter().for_each(|pod| pods.apply((**pod).clone()));
    scalers.apply(scaler(kind));
    let controller = Autoscaler {
        client: client.clone(),
        recorder,
        scalers,
        pods,
        metrics: Arc::new(Fixed(Arc::new(readings))),
        targets: Targets::new(client),
        memory: Mutex::new(HashMap::new()),
    };
    let key = ObjectKey::new("shop", "web");
    assert_eq!(controller.reconcile(&key).await.unwrap(), Requeue::After(SYNC_PERIOD));
    let mut events = Vec::new();
    while let Ok(note) = notes.try_recv() {
        events.push(format!("{} {}: {}", note.type_, note.reason, note.message));
    }
    events
}

#[tokio::test]
async fn a_busy_target_is_resized_and_the_status_tells() {
    let server = Server::new(0);
    let events = look(&server, "Deployment").await;
    let reason = "cpu resource utilization (percentage of request) above target";
    assert_eq!(events, [format!("Normal SuccessfulRescale: New size: 3; reason: {reason}")]);
    let state = server.0.lock();
    assert_eq!(state.replicas, 3);
    assert_eq!((&state.status["currentReplicas"], &state.status["desiredReplicas"]), (&json!(2), &json!(3)));
    assert_eq!(state.status["conditions"][0]["reason"], "SucceededRescale");
}

#[tokio::test]
async fn a_conflict_over_the_same_size_is_tried_again() {
    let server = Server::new(1);
    assert!(look(&server, "Deployment").await[0].starts_with("Normal SuccessfulRescale"));
    assert_eq!(server.0.lock().replicas, 3);
}

#[tokio::test]
async fn a_resize_that_keeps_failing_is_told() {
    let server = Server::new(9);
    let events = look(&server, "Deployment").await;
    assert!(events[0].starts_with("Warning FailedRescale: New size: 3; reason: cpu"), "{events:?}");
    assert!(events[0].ends_with("; error: it said no"), "{events:?}");
    assert_eq!(server.0.lock().status["conditions"][0]["reason"], "FailedUpdateScale");
}

#[tokio::test]
async fn a_target_of_an_unknown_kind_is_told() {
    let server = Server::new(0);
    let events = look(&server, "Nothing").await;
    let why = r#"no matches for kind "Nothing" in group "apps""#;
    assert_eq!(events, [format!("Warning FailedGetScale: {why}")]);
    let state = server.0.lock();
    assert_eq!(
        state.status["conditions"][0]["message"],
        format!("the HPA controller was unable to get the target's current scale: {why}")
    );
}
