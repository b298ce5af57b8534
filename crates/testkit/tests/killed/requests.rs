//! Requests of which several writes come.

use serde_json::{Value, json};

use crate::cluster::{Request, check, delete, patch, post, put};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const WEB: &str = "/api/v1/namespaces/default/services/web";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
const OBJECTS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn service(name: &str, mut spec: Value) -> Value {
    spec["ports"] = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    json!({"metadata": {"name": name}, "spec": spec})
}

fn node_ports() -> Value {
    service("web", json!({"type": "NodePort"}))
}

fn load_balancer() -> Value {
    service("web", json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}))
}

fn external_name() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"type": "ExternalName", "externalName": "example.com"}})
}

#[tokio::test(start_paused = true)]
async fn services_are_made() {
    check(&[], post(SERVICES, service("web", json!({})))).await;
    check(&[], post(SERVICES, service("web", json!({"clusterIP": "10.43.0.77"})))).await;
    check(&[], post(SERVICES, load_balancer())).await;
}

#[tokio::test(start_paused = true)]
async fn services_get_ports() {
    check(&[post(SERVICES, service("web", json!({})))], put(WEB, load_balancer())).await;
    check(&[post(SERVICES, external_name())], put(WEB, node_ports())).await;
}

#[tokio::test(start_paused = true)]
async fn services_let_go_of_what_they_have() {
    check(&[post(SERVICES, load_balancer())], put(WEB, service("web", json!({})))).await;
    check(&[post(SERVICES, node_ports())], put(WEB, external_name())).await;
}

#[tokio::test(start_paused = true)]
async fn services_are_deleted() {
    check(&[post(SERVICES, load_balancer())], delete(WEB)).await;
    let several = ["a", "b"].map(|name| post(SERVICES, service(name, json!({"type": "NodePort"}))));
    check(&several, delete(SERVICES)).await;
}

#[tokio::test(start_paused = true)]
async fn what_quotas_count_is_made() {
    let quota = |name: &str, hard: Value| {
        post("/api/v1/namespaces/default/resourcequotas", json!({"metadata": {"name": name}, "spec": {"hard": hard}}))
    };
    // With room for who does not know that it has been made: else it is refused, as upstream refuses it.
    let quotas = [quota("a", json!({"services": "3"})), quota("b", json!({"services.nodeports": "4"}))];
    check(&quotas, post(SERVICES, node_ports())).await;
}

#[tokio::test(start_paused = true)]
async fn owners_are_deleted_with_what_they_own() {
    let template = json!({
        "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]},
    });
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template});
    let deployment = json!({"metadata": {"name": "web"}, "spec": spec});
    let made = post("/apis/apps/v1/namespaces/default/deployments", deployment);
    check(&[made], delete("/apis/apps/v1/namespaces/default/deployments/web?propagationPolicy=Foreground")).await;
}

/// The last version is stored.
fn definition(versions: &[&str]) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let version = |name: &&str| {
        let storage = Some(name) == versions.last();
        json!({"name": name, "served": true, "storage": storage, "schema": schema})
    };
    json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "names": {"plural": "widgets", "kind": "Widget"}, "scope": "Namespaced",
            "versions": versions.iter().map(version).collect::<Vec<_>>(),
        },
    })
}

fn widget(name: &str) -> Request {
    post(OBJECTS, json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}}))
}

#[tokio::test(start_paused = true)]
async fn kinds_are_defined() {
    check(&[], post(DEFINITIONS, definition(&["v1"]))).await;
}

#[tokio::test(start_paused = true)]
async fn kinds_get_versions() {
    let defined = [post(DEFINITIONS, definition(&["v1"])), widget("a")];
    let versions = json!({"spec": {"versions": definition(&["v1", "v2"])["spec"]["versions"]}});
    check(&defined, patch(WIDGETS, versions)).await;
}

#[tokio::test(start_paused = true)]
async fn kinds_are_deleted_with_their_objects() {
    let defined = [post(DEFINITIONS, definition(&["v1"])), widget("a"), widget("b")];
    check(&defined, delete(WIDGETS)).await;
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_deleted() {
    let made = [
        post("/api/v1/namespaces", json!({"metadata": {"name": "shop"}})),
        post("/api/v1/namespaces/shop/services", service("web", json!({"type": "NodePort"}))),
        post("/api/v1/namespaces/shop/configmaps", json!({"metadata": {"name": "a"}})),
    ];
    check(&made, delete("/api/v1/namespaces/shop")).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_of_accounts_are_written() {
    let account = post("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "bot"}}));
    let annotations = json!({"kubernetes.io/service-account.name": "bot"});
    let secret = json!({
        "metadata": {"name": "bot", "annotations": annotations}, "type": "kubernetes.io/service-account-token",
    });
    check(&[account], post("/api/v1/namespaces/default/secrets", secret)).await;
}

#[tokio::test(start_paused = true)]
async fn volumes_are_bound() {
    let size = json!({"storage": "1Gi"});
    let source = json!({"driver": "example.com", "volumeHandle": "1"});
    let spec = json!({"capacity": size, "accessModes": ["ReadWriteOnce"], "csi": source});
    let volume = post("/api/v1/persistentvolumes", json!({"metadata": {"name": "v"}, "spec": spec}));
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": size}});
    let claim = json!({"metadata": {"name": "data"}, "spec": spec});
    check(&[volume], post("/api/v1/namespaces/default/persistentvolumeclaims", claim)).await;
}
