//! Quotas hold however many ask at once, and of whatever kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use crate::Cluster;

const WRITERS: usize = 8;
const TRIES: usize = 25;
const LIMIT: usize = 5;

impl Cluster {
    async fn limit(&self, resource: &str, most: usize) {
        let hard = json!({ resource: most.to_string() });
        self.create::<ResourceQuota>(json!({ "metadata": { "name": "q" }, "spec": { "hard": hard } })).await;
    }

    /// Waits until the quota says that so many are used.
    async fn until_used(&self, resource: &str, count: usize) {
        self.until::<ResourceQuota>("the number used", |all| {
            let used = all.find("default", "q").and_then(|quota| quota.status.clone()?.used?.remove(resource));
            used.is_some_and(|used| used.0 == count.to_string())
        })
        .await;
    }

    /// Defines widgets in one version, and waits until they are served.
    pub async fn widgets(&self, version: &str) -> Api<DynamicObject> {
        let schema = json!({ "openAPIV3Schema": { "type": "object" } });
        let versions = json!([{ "name": version, "served": true, "storage": true, "schema": schema }]);
        let definition = json!({ "metadata": { "name": "widgets.example.com" }, "spec": { "group": "example.com",
            "names": { "plural": "widgets", "kind": "Widget" }, "scope": "Namespaced", "versions": versions } });
        let definition: CustomResourceDefinition = serde_json::from_value(definition).expect("a definition");
        let definitions = Api::all(self.client.clone());
        definitions.create(&PostParams::default(), &definition).await.expect("it is valid");
        self.until::<CustomResourceDefinition>("it is served", |all| {
            let conditions = all.list().first().and_then(|of| of.status.clone()?.conditions).unwrap_or_default();
            conditions.iter().any(|of| of.type_ == "Established" && of.status == "True")
        })
        .await;
        Api::namespaced_with(self.client.clone(), "default", &widgets_in(version))
    }
}

/// Makes secrets, and takes each away again.
async fn write(secrets: Api<Secret>, writer: usize) -> (usize, usize) {
    let (mut made, mut refused) = (0, 0);
    for at in 0..TRIES {
        let name = format!("s{writer}-{at}");
        let secret: Secret = serde_json::from_value(json!({ "metadata": { "name": name } })).expect("a secret");
        match secrets.create(&PostParams::default(), &secret).await {
            Ok(_) => {
                made += 1;
                tokio::task::yield_now().await;
                secrets.delete(&name, &DeleteParams::default()).await.expect("it is there");
            }
            Err(kube::Error::Api(status)) if status.message.contains("exceeded quota: q, requested: secrets=1") => {
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    (made, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_never_have_more_than_the_quota_allows() {
    let cluster = Cluster::start().await;
    cluster.limit("secrets", LIMIT).await;
    cluster.until_used("secrets", 0).await;
    let present = Arc::new(Mutex::new((BTreeSet::new(), 0)));
    let seen = present.clone();
    let informer = cluster.informers.get::<Secret>();
    informer.synced().await;
    informer.subscribe(move |change| {
        let mut seen = seen.lock();
        let name = change.object().name_any();
        if change.is_deletion() {
            seen.0.remove(&name)
        } else {
            seen.0.insert(name)
        };
        seen.1 = seen.1.max(seen.0.len());
    });
    let writers: Vec<_> = (0..WRITERS).map(|at| tokio::spawn(write(cluster.api(), at))).collect();
    let (mut made, mut refused) = (0, 0);
    for writer in writers {
        let counts = writer.await.expect("a writer ends");
        (made, refused) = (made + counts.0, refused + counts.1);
    }
    assert!(made >= LIMIT && refused > 0, "made {made}, refused {refused}");
    assert!(present.lock().1 <= LIMIT, "{} at once", present.lock().1);
    cluster.until_used("secrets", 0).await;
    // A place that was charged for something that came to nothing is free again.
    let taken: Secret = serde_json::from_value(json!({ "metadata": { "name": "taken" } })).expect("a secret");
    let secrets = cluster.api::<Secret>();
    secrets.create(&PostParams::default(), &taken).await.expect("there is room");
    secrets.create(&PostParams::default(), &taken).await.expect_err("the name is taken");
    cluster.until_used("secrets", 2).await;
    cluster.until_used("secrets", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_resources_are_counted_and_refused() {
    let cluster = Cluster::start().await;
    let widgets = cluster.widgets("v1").await;
    let make = async |name| widgets.create(&PostParams::default(), &widget("v1", name)).await;
    make("before").await.expect("nothing limits widgets");
    let counted = "count/widgets.example.com";
    cluster.limit(counted, 2).await;
    cluster.until_used(counted, 1).await;
    make("a").await.expect("there is room");
    cluster.until_used(counted, 2).await;
    let refused = make("b").await.expect_err("there is none");
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!(
        status.message,
        "widgets.example.com \"b\" is forbidden: exceeded quota: q, requested: count/widgets.example.com=1, \
         used: count/widgets.example.com=2, limited: count/widgets.example.com=2"
    );
    widgets.delete("before", &DeleteParams::default()).await.expect("it is there");
    cluster.until_used(counted, 1).await;
    make("b").await.expect("there is room again");
}

pub fn widgets_in(version: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", version, "Widget"), "widgets")
}

pub fn widget(version: &str, name: &str) -> DynamicObject {
    DynamicObject::new(name, &widgets_in(version))
}

/// What is watched of the old version goes with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_resources_that_come_back_as_another_version_are_counted_again() {
    let cluster = Cluster::start().await;
    let counted = "count/widgets.example.com";
    let widgets = cluster.widgets("v1").await;
    widgets.create(&PostParams::default(), &widget("v1", "a")).await.expect("nothing limits widgets");
    cluster.limit(counted, 3).await;
    cluster.until_used(counted, 1).await;
    cluster.api::<ResourceQuota>().delete("q", &DeleteParams::default()).await.expect("it is there");
    let definitions = Api::<CustomResourceDefinition>::all(cluster.client.clone());
    definitions.delete("widgets.example.com", &DeleteParams::default()).await.expect("it is there");
    cluster.until::<CustomResourceDefinition>("it is gone", |all| all.list().is_empty()).await;
    let widgets = cluster.widgets("v2").await;
    for name in ["a", "b"] {
        widgets.create(&PostParams::default(), &widget("v2", name)).await.expect("nothing limits widgets");
    }
    cluster.limit(counted, 3).await;
    cluster.until_used(counted, 2).await;
}
