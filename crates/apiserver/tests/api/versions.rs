//! Versions of the API that are served where they are asked for.

use http::header::WARNING;
use serde_json::{Value, json};
use store::Store as _;

use crate::support::{Api, Options, start, start_with};

async fn with(config: &str) -> Api {
    let runtime_config = config.split(',').map(str::to_owned).collect();
    start_with(Options { runtime_config, ..Options::default() }).await.bootstrapped().await
}

fn versions(group: &Value) -> Vec<&str> {
    group["versions"].as_array().unwrap().iter().map(|version| version["version"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn by_default_stable_versions_are_served_alone() {
    let api = start().await;
    assert_eq!(versions(&api.get("/apis/resource.k8s.io").await.expect(200)), ["v1"]);
    for path in ["/apis/networking.k8s.io/v1beta1", "/apis/networking.k8s.io/v1beta1/ipaddresses"] {
        assert_eq!(api.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_asked_for_is_in_discovery_and_openapi() {
    let api = with("api/beta=true,networking.k8s.io/v1beta1/servicecidrs=false").await;
    let group = api.get("/apis/resource.k8s.io").await.expect(200);
    assert_eq!(
        (versions(&group), &group["preferredVersion"]["version"]),
        (vec!["v1", "v1beta2", "v1beta1"], &json!("v1"))
    );
    let resources = api.get("/apis/networking.k8s.io/v1beta1").await.expect(200)["resources"].clone();
    let names: Vec<&Value> = resources.as_array().unwrap().iter().map(|resource| &resource["name"]).collect();
    assert_eq!(names, [&json!("ipaddresses")]);
    let index = api.get("/openapi/v3").await.expect(200);
    let address = index["paths"]["apis/resource.k8s.io/v1beta1"]["serverRelativeURL"].as_str().unwrap();
    let document = api.get(address).await.expect(200);
    assert!(document["components"]["schemas"]["io.k8s.api.resource.v1beta1.ResourceClaim"].is_object());
    assert_eq!(api.get("/apis/networking.k8s.io/v1beta1/servicecidrs").await.status, 404);
}

#[tokio::test]
async fn an_object_is_stored_once_and_seen_in_each_version() {
    let api = with("api/beta=true").await;
    let path = |version| format!("/apis/resource.k8s.io/{version}/namespaces/default/resourceclaims");
    let claim = json!({
        "metadata": {"name": "c"},
        "spec": {"devices": {"requests": [{"name": "one", "deviceClassName": "gpu.example.com"}]}},
    });
    let made = api.post(&path("v1beta1"), &claim).await;
    assert_eq!(
        made.headers[WARNING],
        "299 - \"resource.k8s.io/v1beta1 ResourceClaim is deprecated in v1.35+, unavailable in v1.38+\""
    );
    let made = made.expect(201);
    let inline =
        json!({"name": "one", "deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1});
    assert_eq!(
        (&made["apiVersion"], &made["spec"]["devices"]["requests"][0]),
        (&json!("resource.k8s.io/v1beta1"), &inline)
    );
    let held = api.store.get("/registry/resourceclaims/default/c", None).await.unwrap().unwrap();
    let held: Value = serde_json::from_slice(&held.value).unwrap();
    assert_eq!(held["apiVersion"], "resource.k8s.io/v1");
    for version in ["v1", "v1beta2"] {
        let seen = api.get(&format!("{}/c", path(version))).await.expect(200);
        assert_eq!(seen["apiVersion"], format!("resource.k8s.io/{version}"));
        assert_eq!(seen["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"], "gpu.example.com");
        assert_eq!(seen["metadata"]["uid"], made["metadata"]["uid"]);
    }
    let listed = api.get(&path("v1beta1")).await.expect(200);
    assert_eq!(listed["items"][0]["spec"]["devices"]["requests"][0], inline);
    let text = api.get("/metrics").await;
    let kind =
        r#"group="resource.k8s.io",version="v1beta1",resource="resourceclaims",subresource="",removed_release="1.38""#;
    let line = format!("apiserver_requested_deprecated_apis{{{kind}}} 1");
    assert!(text.text().contains(&line), "{}", text.text());
}

#[tokio::test]
async fn a_version_that_only_has_another_name_reads_and_writes_the_same_objects() {
    let api = with("networking.k8s.io/v1beta1=true").await;
    let path = |version| format!("/apis/networking.k8s.io/{version}/servicecidrs/other");
    let cidr = json!({"metadata": {"name": "other"}, "spec": {"cidrs": ["10.96.0.0/16"]}});
    api.post("/apis/networking.k8s.io/v1beta1/servicecidrs", &cidr).await.expect(201);
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    api.patch(&path("v1"), "application/merge-patch+json", &patch).await.expect(200);
    let seen = api.get(&path("v1beta1")).await.expect(200);
    assert_eq!((&seen["metadata"]["labels"]["a"], &seen["spec"]["cidrs"][0]), (&json!("b"), &json!("10.96.0.0/16")));
    api.delete(&path("v1beta1")).await.expect(200);
    assert_eq!(api.get(&path("v1")).await.status, 404);
}

#[tokio::test]
async fn stable_versions_that_are_switched_off_have_no_paths() {
    let api = with("apps/v1=false,coordination.k8s.io/v1/leases=false").await;
    for path in ["/apis/apps", "/apis/apps/v1", "/apis/apps/v1/deployments", "/apis/coordination.k8s.io/v1/leases"] {
        assert_eq!(api.get(path).await.status, 404, "{path}");
    }
    let groups = api.get("/apis").await.expect(200)["groups"].clone();
    assert!(groups.as_array().unwrap().iter().all(|group| group["name"] != "apps"), "{groups}");
    let paths = api.get("/openapi/v3").await.expect(200)["paths"].clone();
    assert_eq!((&paths["apis/apps/v1"], paths["apis/batch/v1"].is_object()), (&Value::Null, true));
    let gone = with("api/all=false,batch/v1=true").await;
    gone.get("/apis/batch/v1/jobs").await.expect(200);
    assert_eq!(gone.get("/api/v1/namespaces").await.status, 404);
}

#[tokio::test]
async fn kinds_that_are_beta_alone_are_served_as_any_other() {
    let api = with("api/beta=true").await;
    let path = "/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies";
    let matching = json!({"resourceRules": [
        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]});
    let mutation = json!({"patchType": "ApplyConfiguration",
        "applyConfiguration": {"expression": "Object{metadata: Object.metadata{labels: {'a': 'b'}}}"}});
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": matching, "reinvocationPolicy": "Never", "mutations": [mutation]}});
    let made = api.post(path, &policy).await.expect(201);
    assert_eq!((&made["spec"]["failurePolicy"], &made["metadata"]["generation"]), (&json!("Fail"), &json!(1)));
    let held = api.store.get("/registry/mutatingadmissionpolicies/p", None).await.unwrap();
    let held: Value = serde_json::from_slice(&held.unwrap().value).unwrap();
    assert_eq!(held["apiVersion"], "admissionregistration.k8s.io/v1beta1");
    let candidate = json!({"metadata": {"name": "c"}, "spec": {
        "leaseName": "l", "binaryVersion": "1.35.0", "emulationVersion": "1.35.0", "strategy": "OldestEmulationVersion"}});
    let candidates = "/apis/coordination.k8s.io/v1beta1/namespaces/default/leasecandidates";
    api.post(candidates, &candidate).await.expect(201);
    let selected = |name: &str| format!("{candidates}?fieldSelector=spec.leaseName%3D{name}");
    for (name, count) in [("l", 1), ("other", 0)] {
        let list = api.get(&selected(name)).await.expect(200);
        assert_eq!(list["items"].as_array().map_or(0, Vec::len), count, "{name}");
    }
}
