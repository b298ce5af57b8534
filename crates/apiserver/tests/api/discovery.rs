use std::convert::Infallible;

use apiserver::LocalApi;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use machinery::UserInfo;
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;

use crate::support::{Options, start, start_with};

const AGGREGATED: (&str, &str) =
    ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json");

#[tokio::test]
async fn groups_versions_and_resources_are_listed() {
    let api = start().await;
    let groups = api.get("/apis").await.expect(200);
    let names: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"apps") && names.contains(&"rbac.authorization.k8s.io"), "{names:?}");
    let apps = api.get("/apis/apps/v1").await.expect(200);
    let has = |name: &str| apps["resources"].as_array().unwrap().iter().any(|resource| resource["name"] == name);
    assert!(has("deployments") && has("deployments/scale") && has("deployments/status"));
    assert_eq!(api.get("/api").await.expect(200)["versions"], json!(["v1"]));
    assert_eq!(api.get("/apis/apps").await.expect(200)["preferredVersion"]["version"], "v1");
    assert_eq!(api.get("/apis/nothing").await.expect(404)["reason"], "NotFound");
}

#[tokio::test]
async fn the_aggregated_document_is_not_sent_twice() {
    let api = start().await;
    let first = api.send("GET", "/apis", &[AGGREGATED], "").await;
    assert_eq!(first.json()["kind"], "APIGroupDiscoveryList");
    let content_type = first.headers["content-type"].to_str().unwrap();
    assert!(content_type.contains("as=APIGroupDiscoveryList"), "{content_type}");
    let tag = first.headers["etag"].to_str().unwrap();
    let second = api.send("GET", "/apis", &[AGGREGATED, ("if-none-match", tag)], "").await;
    assert_eq!((second.status.as_u16(), second.bytes.len()), (304, 0));
    let core = api.send("GET", "/api", &[AGGREGATED], "").await.expect(200);
    assert_eq!(core["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_of_another_component_is_served_as_our_own() {
    let service = tower::service_fn(|request: Request<Bytes>| async move {
        let user = request.extensions().get::<UserInfo>().unwrap().name.clone();
        let answer = json!({"user": user, "path": request.uri().path()}).to_string();
        let body = http_body_util::Full::from(answer).map_err(|never: Infallible| match never {}).boxed_unsync();
        Ok::<_, apiserver::BoxError>(Response::new(body))
    });
    let local = LocalApi {
        group: "metrics.k8s.io",
        version: "v1beta1",
        schema: "io.k8s.metrics.pkg.apis.metrics.v1beta1",
        resources: json!([
            {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
        ]),
        service: BoxCloneSyncService::new(service),
    };
    let api = start_with(Options { local_apis: vec![local], ..Options::default() }).await;
    let answer: Value = api.get("/apis/metrics.k8s.io/v1beta1/nodes").await.expect(200);
    assert_eq!(answer, json!({"user": "admin", "path": "/apis/metrics.k8s.io/v1beta1/nodes"}));
    let list = api.get("/apis/metrics.k8s.io/v1beta1").await.expect(200);
    assert_eq!(list["resources"][0]["kind"], "NodeMetrics");
    let refused = api.as_user("nobody", "GET", "/apis/metrics.k8s.io/v1beta1/nodes").await;
    assert_eq!(
        refused.problem(),
        "403 Forbidden: nodes.metrics.k8s.io is forbidden: User \"nobody\" cannot list resource \"nodes\" in API \
         group \"metrics.k8s.io\" at the cluster scope"
    );
}

#[tokio::test]
async fn openapi_documents_have_an_address_that_changes_with_them() {
    let api = start().await;
    let index = api.get("/openapi/v3").await.expect(200);
    let address = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let got = api.get(address).await;
    assert!(got.headers["cache-control"].to_str().unwrap().contains("immutable"));
    let tag = got.headers["etag"].to_str().unwrap().to_owned();
    assert!(got.expect(200)["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"].is_object());
    let again = api.send("GET", address, &[("if-none-match", &tag)], "").await;
    assert_eq!(again.status.as_u16(), 304);
    let packed = api.send("GET", address, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert_eq!(api.get("/openapi/v3/apis/nothing/v1").await.status.as_u16(), 404);
    let v2 = api.get("/openapi/v2").await.expect(200);
    assert!(v2["definitions"]["io.k8s.api.core.v1.Pod"].is_object());
}
