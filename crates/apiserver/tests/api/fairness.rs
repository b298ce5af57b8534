//! Priority and fairness, as clients see it.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{Limits, LocalApi};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Api, Options, start, start_with};

const GROUP: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";

/// An API whose requests last until they are let go.
fn slow(gate: Arc<Semaphore>) -> LocalApi {
    let service = tower::service_fn(move |_: Request<Bytes>| {
        let gate = gate.clone();
        async move {
            gate.acquire().await?.forget();
            Ok::<_, apiserver::BoxError>(http::Response::new(apiserver::Body::default()))
        }
    });
    let service = tower::util::BoxCloneSyncService::new(service);
    LocalApi { group: "metrics.k8s.io", version: "v1beta1", schema: "", resources: json!([]), service }
}

#[tokio::test]
async fn a_server_without_seats_left_says_when_to_come_back() {
    let gate = Arc::new(Semaphore::new(0));
    let limits = Limits { requests: 1, queue_wait: Duration::from_millis(1), ..Limits::default() };
    let api = start_with(Options { limits, local_apis: vec![slow(gate.clone())], ..Options::default() }).await;
    let path = "/apis/metrics.k8s.io/v1beta1/nodes";
    let (first, second) = tokio::join!(api.as_user("reader", "GET", path), async {
        tokio::task::yield_now().await;
        let refused = api.as_user("reader", "GET", path).await;
        // Masters are exempt, so the server can still be looked after.
        api.get("/api").await.expect(200);
        gate.add_permits(1);
        refused
    });
    assert_eq!(first.status.as_u16(), 200);
    assert_eq!(second.problem(), "429 TooManyRequests: Too many requests, please try again later.");
    assert_eq!(second.headers["retry-after"], "1");
    assert!(second.headers.contains_key("x-kubernetes-pf-flowschema-uid"));
}

/// Waits until what a background task writes is there.
async fn until(api: &Api, path: &str, what: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let got = api.get(path).await;
            if got.status.is_success() && what(&got.json()) {
                return got.json();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it is written")
}

fn dangling(schema: &Value) -> Option<&str> {
    let conditions = schema["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Dangling")?["status"].as_str()
}

#[tokio::test]
async fn the_default_objects_are_there_come_back_and_are_named_in_answers() {
    let api = start().await;
    let following = api.server.clone();
    tokio::spawn(async move { following.follow_flow_control().await });
    let all = format!("{GROUP}/flowschemas");
    let list = until(&api, &all, |list| list["items"].as_array().is_some_and(|items| items.len() == 11)).await;
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().filter_map(|of| of["metadata"]["name"].as_str()).collect();
    assert!(names.contains(&"system-node-high") && names.contains(&"probes"), "{names:?}");
    let path = format!("{GROUP}/flowschemas/global-default");
    let before = until(&api, &path, |schema| dangling(schema) == Some("False")).await;
    assert_eq!(before["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"], "true");
    api.delete(&path).await.expect(200);
    let after = until(&api, &path, |schema| schema["metadata"]["uid"] != before["metadata"]["uid"]).await;
    let uid = after["metadata"]["uid"].as_str().unwrap().to_owned();
    let wait = async {
        while api.as_user("reader", "GET", "/api").await.headers["x-kubernetes-pf-flowschema-uid"] != uid.as_str() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("answers name the schema");
}

#[tokio::test]
async fn a_schema_of_ones_own_is_followed_and_told_when_its_level_is_missing() {
    let api = start().await;
    let following = api.server.clone();
    tokio::spawn(async move { following.follow_flow_control().await });
    let schema = json!({
        "metadata": {"name": "mine"},
        "spec": {
            "priorityLevelConfiguration": {"name": "nowhere"}, "matchingPrecedence": 5,
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "reader"}}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            }],
        },
    });
    api.post(&format!("{GROUP}/flowschemas"), &schema).await.expect(201);
    let path = format!("{GROUP}/flowschemas/mine");
    let told = until(&api, &path, |schema| dangling(schema) == Some("True")).await;
    assert_eq!(
        told["status"]["conditions"][0]["message"],
        "This FlowSchema references the PriorityLevelConfiguration object named \"nowhere\" but there is no such object"
    );
    let found = json!({"spec": {"priorityLevelConfiguration": {"name": "exempt"}}});
    api.patch(&path, "application/merge-patch+json", &found).await.expect(200);
    until(&api, &path, |schema| dangling(schema) == Some("False")).await;
    let metrics = api.as_user("reader", "GET", "/api").await;
    assert_eq!(metrics.headers["x-kubernetes-pf-flowschema-uid"], told["metadata"]["uid"].as_str().unwrap());
    let metrics = api.get("/metrics").await;
    let want = r#"apiserver_flowcontrol_dispatched_requests_total{priority_level="exempt",flow_schema="mine"} 1"#;
    assert!(metrics.text().contains(want), "{}", metrics.text());
}
