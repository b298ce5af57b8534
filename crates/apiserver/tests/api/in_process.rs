//! What the components of this process do: kube's client over the server's own service.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use machinery::UserInfo;
use serde_json::json;

use crate::support::{self, start};

fn client(api: &support::Api, name: &str, groups: &[&str]) -> Client {
    Client::new(api.server.client(UserInfo::new(name, groups)), "default")
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": "1"}})).unwrap()
}

#[tokio::test]
async fn kube_works_without_a_socket() {
    let api = start().await.bootstrapped().await;
    let client = client(&api, "system:kube-controller-manager", &[UserInfo::MASTERS]);
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let made = maps.create(&PostParams::default(), &config_map("web")).await.unwrap();
    assert!(made.uid().is_some());
    let patch = Patch::Merge(json!({"data": {"a": "2"}}));
    let patched = maps.patch("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.data.unwrap()["a"], "2");
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert!(maps.delete("web", &DeleteParams::default()).await.unwrap().is_right());
    assert!(maps.get_opt("web").await.unwrap().is_none());
    let namespaces = Api::<Namespace>::all(client).list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(namespaces.items.len(), 4);
}

#[tokio::test]
async fn a_component_is_known_by_its_name_and_may_apply() {
    let api = start().await.bootstrapped().await;
    let managers = async |user: &str, name: &str| {
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&api, user, &[UserInfo::MASTERS]));
        maps.create(&PostParams::default(), &config_map(name)).await.unwrap();
        let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"b": "1"}});
        let applied = maps.patch(name, &PatchParams::apply("me"), &Patch::Apply(applied)).await.unwrap();
        let managers = applied.metadata.managed_fields.unwrap().into_iter().filter_map(|entry| entry.manager);
        managers.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(managers("system:kube-controller-manager", "a").await, "me kube-controller-manager");
    assert_eq!(managers("system:node:n1", "b").await, "me kubelet");
    assert_eq!(managers("somebody", "c").await, "me unknown");
}

#[tokio::test]
async fn a_component_may_do_what_its_user_may() {
    let api = start().await.bootstrapped().await;
    let nodes: Api<Node> = Api::all(client(&api, "reader", &[]));
    assert!(nodes.list(&ListParams::default()).await.unwrap().items.is_empty());
    let node: Node = serde_json::from_value(json!({"metadata": {"name": "n1"}})).unwrap();
    match nodes.create(&PostParams::default(), &node).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_watcher_follows_changes() {
    let api = start().await.bootstrapped().await;
    let client = client(&api, "component", &[UserInfo::MASTERS]);
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    maps.create(&PostParams::default(), &config_map("first")).await.unwrap();
    for strategy in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut seen = std::pin::pin!(watcher(maps.clone(), strategy).applied_objects());
        let mut next =
            async || tokio::time::timeout(Duration::from_secs(10), seen.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(next().await.name_any(), "first");
        maps.create(&PostParams::default(), &config_map("second")).await.unwrap();
        assert_eq!(next().await.name_any(), "second");
        maps.delete("second", &DeleteParams::default()).await.unwrap();
    }
}
