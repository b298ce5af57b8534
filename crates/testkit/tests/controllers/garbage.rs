//! What is owned goes with its owner, and not before.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::Cluster;
use crate::quota::{widget, widgets_in};

impl Cluster {
    /// Makes a config map that a widget owns.
    async fn owned(&self, name: &str, version: &str, owner: &str, uid: &str) {
        let owner =
            json!({ "apiVersion": format!("example.com/{version}"), "kind": "Widget", "name": owner, "uid": uid });
        self.create::<ConfigMap>(json!({ "metadata": { "name": name, "ownerReferences": [owner] } })).await;
    }

    async fn until_gone(&self, name: &str) {
        self.until::<ConfigMap>("it is gone", |all| all.find("default", name).is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_owned_stays_when_its_owner_is_served_in_another_version() {
    let cluster = Cluster::start().await;
    let before = cluster.widgets("v1").await;
    let make = async |widgets: &Api<DynamicObject>, version, name| {
        let made = widgets.create(&PostParams::default(), &widget(version, name)).await.expect("it is valid");
        made.uid().expect("it was made")
    };
    let first = make(&before, "v1", "first").await;
    cluster.owned("first", "v1", "first", &first).await;
    before.delete("first", &DeleteParams::default()).await.expect("it is there");
    cluster.until_gone("first").await;
    let version = |name: &str, current: bool| -> Value {
        let schema = json!({ "openAPIV3Schema": { "type": "object" } });
        json!({ "name": name, "served": current, "storage": current, "schema": schema })
    };
    let versions = Patch::Merge(json!({ "spec": { "versions": [version("v1", false), version("v2", true)] } }));
    let definitions = Api::<CustomResourceDefinition>::all(cluster.client.clone());
    definitions.patch("widgets.example.com", &PatchParams::default(), &versions).await.expect("it is valid");
    let after = Api::<DynamicObject>::namespaced_with(cluster.client.clone(), "default", &widgets_in("v2"));
    let second = make(&after, "v2", "second").await;
    cluster.owned("second", "v2", "second", &second).await;
    // Once this has been looked at and is gone, so has the other been looked at.
    cluster.owned("third", "v2", "third", "nobody-s").await;
    cluster.until_gone("third").await;
    cluster.api::<ConfigMap>().get("second").await.expect("its owner is there");
    after.delete("second", &DeleteParams::default()).await.expect("it is there");
    cluster.until_gone("second").await;
}
