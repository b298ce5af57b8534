use serde_json::{Value, json};

use crate::support::{Api, start};

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn with_pod() -> Api {
    let api = start().await.bootstrapped().await;
    let pod = json!({
        "metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "x"}]},
    });
    api.post(PODS, &pod).await.expect(201);
    api
}

fn binding(node: &str) -> Value {
    json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "web"}, "target": {"kind": "Node", "name": node}})
}

#[tokio::test]
async fn a_pod_is_bound_to_one_node() {
    let api = with_pod().await;
    let status = api.post(&format!("{PODS}/web/binding"), &binding("n1")).await.expect(201);
    assert_eq!(status["status"], "Success");
    let pod = api.get(&format!("{PODS}/web")).await.expect(200);
    assert_eq!(pod["spec"]["nodeName"], "n1");
    assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
    for (named, expected) in [
        (json!({}), "400 BadRequest: name in URL does not match name in Binding object"),
        (
            json!({"name": "web", "namespace": "other"}),
            "400 BadRequest: the namespace of the provided object does not match the namespace sent on the request",
        ),
        (json!({"name": "web"}), "500 : target.name: Required value"),
    ] {
        let refused = api.post(&format!("{PODS}/web/binding"), &json!({"metadata": named, "target": {}})).await;
        assert_eq!(refused.problem(), expected);
    }
    let again = api.post("/api/v1/namespaces/default/bindings", &binding("n2")).await;
    assert_eq!(
        again.problem(),
        "409 Conflict: Operation cannot be fulfilled on pods/binding \"web\": pod web is already assigned to node \"n1\""
    );
}

#[tokio::test]
async fn a_status_is_written_apart() {
    let api = with_pod().await;
    let patch =
        json!({"status": {"phase": "Running"}, "metadata": {"labels": {"app": "other"}}, "spec": {"nodeName": "x"}});
    let path = format!("{PODS}/web/status");
    let pod = api.patch(&path, "application/merge-patch+json", &patch).await.expect(200);
    assert_eq!((&pod["status"]["phase"], &pod["spec"]["nodeName"]), (&json!("Running"), &Value::Null));
    assert_eq!(api.get(&path).await.expect(200)["status"]["phase"], "Running");
}

#[tokio::test]
async fn a_scale_is_an_object_of_its_own() {
    let api = with_pod().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "x"}]}},
        },
    });
    api.post(deployments, &deployment).await.expect(201);
    let path = format!("{deployments}/web/scale");
    let scale = api.get(&path).await.expect(200);
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    assert_eq!(scale["status"]["selector"], "app=web");
    let patch = json!({"spec": {"replicas": 5}});
    let scaled = api.patch(&path, "application/merge-patch+json", &patch).await.expect(200);
    assert_eq!(scaled["spec"]["replicas"], 5);
    let mut scale = api.get(&path).await.expect(200);
    scale["spec"]["replicas"] = json!(7);
    assert_eq!(api.put(&path, &scale).await.expect(200)["spec"]["replicas"], 7);
    assert_eq!(api.get(&format!("{deployments}/web")).await.expect(200)["spec"]["replicas"], 7);
}

#[tokio::test]
async fn a_budget_protects_a_running_pod_from_eviction() {
    let api = with_pod().await;
    api.post(&format!("{PODS}/web/binding"), &binding("n1")).await.expect(201);
    let running = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    api.patch(&format!("{PODS}/web/status"), "application/merge-patch+json", &running).await.expect(200);
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    api.post(budgets, &budget).await.expect(201);
    let status = |allowed: i64| {
        json!({"status": {
            "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1,
            "expectedPods": 1,
        }})
    };
    let write = async |allowed| {
        let path = format!("{budgets}/web/status");
        api.patch(&path, "application/merge-patch+json", &status(allowed)).await.expect(200);
    };
    write(0).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}});
    let path = format!("{PODS}/web/eviction");
    let refused = api.post(&path, &eviction).await;
    assert_eq!(
        refused.problem(),
        "429 TooManyRequests: Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(refused.json()["details"]["causes"][0]["reason"], "DisruptionBudget");
    write(1).await;
    api.post(&path, &eviction).await.expect(201);
    let budget = api.get(&format!("{budgets}/web")).await.expect(200);
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(budget["status"]["disruptedPods"]["web"].is_string());
    let pod = api.get(&format!("{PODS}/web")).await.expect(200);
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let disrupted = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
    assert_eq!(disrupted["reason"], "EvictionByEvictionAPI");
}

#[tokio::test]
async fn a_namespace_goes_when_it_is_finalized() {
    let api = start().await.bootstrapped().await;
    let path = "/api/v1/namespaces/old";
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "old"}})).await.expect(201);
    let deleting = api.delete(path).await.expect(200);
    assert_eq!(deleting["status"]["phase"], "Terminating");
    let mut namespace = api.get(path).await.expect(200);
    namespace["spec"]["finalizers"] = json!([]);
    api.put(&format!("{path}/finalize"), &namespace).await.expect(200);
    assert_eq!(api.get(path).await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_service_account_gets_tokens_that_others_can_verify() {
    let api = start().await.bootstrapped().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    api.post(accounts, &json!({"metadata": {"name": "bot"}})).await.expect(201);
    let asked = json!({"spec": {"audiences": ["vault"], "expirationSeconds": 600}});
    let issued = api.post(&format!("{accounts}/bot/token"), &asked).await.expect(201);
    assert_eq!((&issued["kind"], &issued["metadata"]["name"]), (&json!("TokenRequest"), &json!("bot")));
    assert_eq!(issued["status"]["token"].as_str().map(|token| token.split('.').count()), Some(3));
    let missing = api.post(&format!("{accounts}/gone/token"), &asked).await;
    assert_eq!(missing.problem(), "404 NotFound: serviceaccounts \"gone\" not found");
    let discovery = api.get("/.well-known/openid-configuration").await.expect(200);
    assert_eq!(discovery["issuer"], "https://issuer.test");
    assert_eq!(discovery["jwks_uri"], "https://192.0.2.1:6443/openid/v1/jwks");
    let keys = api.get("/openid/v1/jwks").await;
    assert_eq!(keys.headers["cache-control"], "public, max-age=3600");
    assert_eq!(keys.expect(200)["keys"][0]["alg"], "ES256");
}
