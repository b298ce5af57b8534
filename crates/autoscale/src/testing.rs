//! Fixtures: summaries, and a client whose server is a function of the test.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("tests use seconds near the epoch")
}

/// A pod's namespace, name, uid, container, that one's start and the CPU seconds it used.
pub type PodLine<'a> = (&'a str, &'a str, &'a str, &'a str, i64, f64);

/// A node's `/stats/summary`, each container with 64 MiB.
pub fn summary(node_cpu: f64, pods: &[PodLine]) -> String {
    let cpu = |seconds: f64| json!({ "usageCoreNanoSeconds": (seconds * 1e9) as u64 });
    let memory = json!({ "workingSetBytes": 64 << 20 });
    let pods: Vec<Value> = pods
        .iter()
        .map(|(namespace, name, uid, container, started, used)| {
            json!({
                "podRef": { "namespace": namespace, "name": name, "uid": uid },
                "containers": [{
                    "name": container, "startTime": clock::format_time(at(*started)),
                    "cpu": cpu(*used), "memory": memory,
                }],
            })
        })
        .collect();
    json!({ "node": { "nodeName": "n1", "cpu": cpu(node_cpu), "memory": memory }, "pods": pods }).to_string()
}

pub fn client<F>(answer: impl Fn(Request<Body>) -> F + Send + Clone + 'static) -> Client
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let service = tower::service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, std::io::Error>(answer.await) }
    });
    Client::new(service, "default")
}

pub fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).expect("a status and a body make a response")
}

/// A pod that runs on `n1` since second 0.
pub fn pod(namespace: &str, name: &str, uid: &str, labels: Value) -> k8s_openapi::api::core::v1::Pod {
    let pod = json!({
        "metadata": { "namespace": namespace, "name": name, "uid": uid, "labels": labels },
        "spec": { "nodeName": "n1", "containers": [{ "name": "app", "resources": { "requests": { "cpu": "1" } } }] },
        "status": {
            "phase": "Running", "startTime": clock::format_time(at(0)),
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": clock::format_time(at(1)) }],
        },
    });
    serde_json::from_value(pod).expect("a whole pod")
}
