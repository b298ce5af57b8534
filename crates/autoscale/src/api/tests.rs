use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::sampler::{ContainerReading, NodeReading, PodReading, Readings, Usage};
use crate::testing;

struct Fixed(Arc<Readings>);

#[async_trait]
impl ResourceMetrics for Fixed {
    async fn readings(&self) -> Arc<Readings> {
        self.0.clone()
    }
}

const USAGE: Usage = Usage { cpu_nano: 2_500_001, memory: 64 << 20 };
const WINDOW: Duration = Duration::from_secs(15);

/// Nodes n1 and n2, pods shop/web, shop/db and bank/web, of which n2 and shop/db have no readings.
fn service() -> Service {
    let reading = |uid: &str| PodReading {
        uid: uid.to_owned(),
        at: testing::at(100),
        window: WINDOW,
        containers: vec![ContainerReading { name: "app".to_owned(), usage: USAGE }],
    };
    let readings = Readings {
        nodes: [("n1".to_owned(), NodeReading { at: testing::at(100), window: WINDOW, usage: USAGE })].into(),
        pods: [(ObjectKey::new("shop", "web"), reading("u1")), (ObjectKey::new("bank", "web"), reading("u3"))].into(),
    };
    let (nodes, pods) = (Informer::detached(), Informer::detached());
    for name in ["n1", "n2"] {
        let mut node = Node::default();
        node.metadata.name = Some(name.to_owned());
        nodes.apply(node);
    }
    pods.apply(testing::pod("shop", "web", "u1", json!({ "app": "web" })));
    pods.apply(testing::pod("shop", "db", "u2", json!({ "app": "db" })));
    pods.apply(testing::pod("bank", "web", "u3", json!({ "app": "web" })));
    nodes.set_synced();
    pods.set_synced();
    Service(Arc::new(Sources { metrics: Arc::new(Fixed(Arc::new(readings))), nodes, pods }))
}

async fn get(path: &str) -> (u16, Value) {
    call("GET", path).await
}

async fn call(method: &str, path: &str) -> (u16, Value) {
    let uri = format!("/apis/metrics.k8s.io/v1beta1/{path}");
    let request = Request::builder().method(method).uri(uri).body(Bytes::new()).unwrap();
    let response = service().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap())
}

fn names(list: &Value) -> Vec<String> {
    let name = |item: &Value| {
        let meta = &item["metadata"];
        format!("{}/{}", meta["namespace"].as_str().unwrap_or_default(), meta["name"].as_str().unwrap_or_default())
    };
    list["items"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn a_pod_shows_its_containers_and_labels() {
    let (code, mut pod) = get("namespaces/shop/pods/web").await;
    assert_eq!(code, 200);
    pod["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    assert_eq!(
        pod,
        json!({
            "kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": { "name": "web", "namespace": "shop", "labels": { "app": "web" } },
            "timestamp": "1970-01-01T00:01:40Z", "window": "15s",
            "containers": [{ "name": "app", "usage": { "cpu": "2500001n", "memory": "64Mi" } }],
        })
    );
}

#[tokio::test]
async fn lists_hold_what_has_readings_and_matches() {
    let (_, nodes) = get("nodes").await;
    assert_eq!((nodes["kind"].as_str(), names(&nodes)), (Some("NodeMetricsList"), vec!["/n1".to_owned()]));
    assert_eq!(names(&get("pods").await.1), ["bank/web", "shop/web"]);
    assert_eq!(names(&get("namespaces/shop/pods").await.1), ["shop/web"]);
    assert_eq!(names(&get("pods?labelSelector=app%3Ddb").await.1), Vec::<String>::new());
    assert_eq!(names(&get("pods?labelSelector=app!%3Ddb&limit=500").await.1), ["bank/web", "shop/web"]);
}

#[tokio::test]
async fn what_is_absent_or_unknown_is_not_found() {
    let message = |answer: (u16, Value)| (answer.0, answer.1["message"].as_str().unwrap().to_owned());
    let not_found = |text: &str| (404, text.to_owned());
    assert_eq!(message(get("nodes/n9").await), not_found(r#"node "n9" not found"#));
    assert_eq!(message(get("nodes/n2").await), not_found(r#"nodemetrics.metrics.k8s.io "n2" not found"#));
    assert_eq!(message(get("namespaces/shop/pods/x").await), not_found(r#"pods "x" not found"#));
    assert_eq!(
        message(get("namespaces/shop/pods/db").await),
        not_found(r#"podmetrics.metrics.k8s.io "shop/db" not found"#)
    );
    assert_eq!(get("services").await.0, 404);
}

#[tokio::test]
async fn metrics_can_only_be_read() {
    assert_eq!(call("DELETE", "nodes/n1").await.0, 405);
    assert_eq!(get("pods?watch=true").await.0, 405);
    assert_eq!(get("pods?labelSelector=%3D%3D").await.0, 400);
}
