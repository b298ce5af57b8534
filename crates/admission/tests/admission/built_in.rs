//! The built-in plugins.

use admission::Options;
use machinery::{ApiError, Reason, UserInfo};
use registry::Context;
use serde_json::{Value, json};

use crate::{administrator, cluster, cluster_with, cluster_with_namespace, create, create_as, kind, named};

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}})
}

#[tokio::test]
async fn content_follows_its_namespace_at_once() {
    let registry = cluster().await;
    let error = create(&registry, "configmaps", "dev", named("a")).await.unwrap_err();
    assert_eq!((error.reason, error.message.as_str()), (Reason::NotFound, "namespaces \"dev\" not found"));
    create(&registry, "namespaces", "", named("dev")).await.unwrap();
    create(&registry, "configmaps", "dev", named("a")).await.unwrap();
}

#[tokio::test]
async fn what_a_node_may_not_do_is_refused_before_it_is_validated() {
    let registry = cluster_with_namespace().await;
    create(&registry, "serviceaccounts", "dev", named("default")).await.unwrap();
    let user = UserInfo::new("system:node:n1", &["system:nodes"]);
    let node = Context { user, ..administrator() };
    let invalid = json!({"metadata": {"name": "n2", "labels": {"a b": "c"}}});
    let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}});
    for (resource, namespace, body, expected) in [
        ("nodes", "", invalid, r#"nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#),
        (
            "pods",
            "dev",
            pod,
            r#"pods "a" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods"#,
        ),
    ] {
        let error = create_as(&registry, &node, kind(resource), namespace, body).await.unwrap_err();
        assert_eq!((error.reason, error.message.as_str()), (Reason::Forbidden, expected));
    }
}

#[tokio::test]
async fn content_makes_its_namespace_where_that_is_switched_on() {
    let options = Options::new(&["NamespaceAutoProvision".to_owned()], &[], None).unwrap();
    let registry = cluster_with(kinds::all(), options).await;
    for name in ["a", "b"] {
        create(&registry, "configmaps", "dev", named(name)).await.unwrap();
    }
    assert!(registry.get(kind("namespaces"), "", "dev", "").await.is_ok());
    let error = create(&registry, "configmaps", "Dev", named("a")).await.unwrap_err();
    assert!(error.message.contains("is forbidden: Namespace \"Dev\" is invalid: metadata.name"), "{}", error.message);
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_the_default_account_of_its_namespace() {
    let registry = cluster().await;
    create(&registry, "namespaces", "", named("dev")).await.unwrap();
    let late = async {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        create(&registry, "serviceaccounts", "dev", named("default")).await.unwrap();
    };
    let (pod, ()) = futures::join!(create(&registry, "pods", "dev", pod("a")), late);
    let pod = pod.unwrap().object();
    assert_eq!(pod.str(&["spec", "serviceAccountName"]), "default");
    assert_eq!(pod.list(&["spec", "tolerations"]).len(), 2);
    assert_eq!(pod.int(&["spec", "priority"]), Some(0));
    assert_eq!(pod.list(&["spec", "containers"])[0]["volumeMounts"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn of_two_pods_for_the_last_place_one_is_refused() {
    let registry = cluster().await;
    create(&registry, "namespaces", "", named("dev")).await.unwrap();
    create(&registry, "serviceaccounts", "dev", named("default")).await.unwrap();
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}});
    create(&registry, "resourcequotas", "dev", quota).await.unwrap();
    registry.get(kind("resourcequotas"), "dev", "q", "").await.unwrap();
    let (one, other) =
        futures::join!(create(&registry, "pods", "dev", pod("a")), create(&registry, "pods", "dev", pod("b")));
    let refused: Vec<ApiError> = [one, other].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    let expected = "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    assert!(refused[0].message.ends_with(expected), "{}", refused[0].message);
    let quota = registry.get(kind("resourcequotas"), "dev", "q", "").await.unwrap().object();
    assert_eq!(quota.str(&["status", "used", "pods"]), "1");
}

#[tokio::test]
async fn of_many_at_once_as_many_are_made_as_may_be_and_given_up_ones_hold_up_nobody() {
    let registry = cluster_with_namespace().await;
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "50"}}});
    create(&registry, "resourcequotas", "dev", quota).await.unwrap();
    registry.get(kind("resourcequotas"), "dev", "q", "").await.unwrap();
    let make = |name: String| {
        let registry = registry.clone();
        tokio::spawn(async move { create(&registry, "configmaps", "dev", named(&name)).await.map(drop) })
    };
    let given_up: Vec<_> = (0..20).map(|at| make(format!("given-up-{at}"))).collect();
    let making: Vec<_> = (0..80).map(|at| make(format!("a-{at}"))).collect();
    for (turns, task) in given_up.iter().enumerate() {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        task.abort();
    }
    let made = futures::future::join_all(making).await.into_iter().filter(|made| made.as_ref().unwrap().is_ok());
    let made = made.count();
    let there = registry.list(kind("configmaps"), "dev", &registry::ListOptions::default()).await.unwrap();
    let quota = registry.get(kind("resourcequotas"), "dev", "q", "").await.unwrap().object();
    assert_eq!(quota.str(&["status", "used", "count/configmaps"]), "50");
    assert!(made >= 30 && there.items.len() <= 50, "{made} of those, {} in all", there.items.len());
}

#[tokio::test]
async fn pods_of_a_restricted_namespace_are_held_to_the_standard() {
    let registry = cluster().await;
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = json!({"metadata": {"name": "dev", "labels": labels}});
    create(&registry, "namespaces", "", namespace).await.unwrap();
    create(&registry, "serviceaccounts", "dev", named("default")).await.unwrap();
    let error = create(&registry, "pods", "dev", pod("a")).await.unwrap_err();
    assert!(error.message.starts_with(r#"pods "a" is forbidden: violates PodSecurity "restricted:latest": "#));
}
