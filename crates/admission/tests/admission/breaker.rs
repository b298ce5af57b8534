//! A webhook that fails for everything, and what the cluster's own components can still do.

use std::time::Duration;

use machinery::{ApiError, UserInfo};
use registry::{Context, ListOptions, Registry};
use serde_json::{Value, json};

use crate::server::{Answer, Server};
use crate::webhooks::configuration;
use crate::{cluster_with_namespace, create, create_as, kind, named, set_up};

const VALIDATING: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";

async fn guarded(annotations: Value, client: Value) -> Registry {
    let registry = cluster_with_namespace().await;
    create(&registry, "namespaces", "", named("default")).await.unwrap();
    set_up(&registry, "serviceaccounts", "dev", named("default")).await;
    let mut of_all = configuration("guard", client, "* */*/*", json!({"timeoutSeconds": 1}));
    of_all["metadata"]["annotations"] = annotations;
    set_up(&registry, VALIDATING, "", of_all).await;
    registry
}

async fn write(registry: &Registry, user: &str, resource: &str, name: &str) -> Result<(), ApiError> {
    let cx = Context { user: UserInfo::new(user, &[]), ..Context::default() };
    create_as(registry, &cx, kind(resource), "dev", named(name)).await.map(drop)
}

/// Has the webhook fail for longer than a breaker waits.
async fn let_it_fail(registry: &Registry) {
    for name in 0..6 {
        let outcome = write(registry, "jane", "configmaps", &format!("user-{name}")).await;
        assert!(outcome.unwrap_err().message.contains("failed calling webhook"));
        tokio::time::advance(Duration::from_secs(3)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn components_do_without_a_broken_webhook_and_users_do_not() {
    let server = Server::start(|_| Answer::Raw(500, String::new())).await;
    let registry = guarded(json!({}), server.client_config()).await;
    assert!(write(&registry, "system:kube-scheduler", "configmaps", "early").await.is_err());
    let_it_fail(&registry).await;
    for (user, resource, passes) in [
        ("jane", "configmaps", false),
        ("system:kube-scheduler", "configmaps", true),
        ("system:kube-controller-manager", "endpoints", true),
        ("system:serviceaccount:kube-system:addon", "configmaps", false),
    ] {
        let outcome = write(&registry, user, resource, &user.replace(':', "-")).await;
        assert_eq!(outcome.is_ok(), passes, "{user}: {outcome:?}");
    }
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let cx = Context { user: UserInfo::new("system:kube-controller-manager", &[]), ..Context::default() };
    let error = create_as(&registry, &cx, kind("pods"), "dev", pod).await.unwrap_err();
    assert!(error.message.contains("failed calling webhook"), "a pod is held to the policy: {}", error.message);
    told(&registry, "WebhookBroken").await;
}

#[tokio::test(start_paused = true)]
async fn an_administrator_may_hold_components_to_the_policy_too() {
    let server = Server::start(|_| Answer::Raw(500, String::new())).await;
    let registry = guarded(json!({"keelson.io/webhook-breaker": "off"}), server.client_config()).await;
    let_it_fail(&registry).await;
    assert!(write(&registry, "system:kube-scheduler", "configmaps", "late").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_closes_it() {
    let healthy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let state = healthy.clone();
    let server = Server::start(move |_| match state.load(std::sync::atomic::Ordering::Relaxed) {
        true => Answer::deny("back again"),
        false => Answer::Raw(500, String::new()),
    })
    .await;
    let registry = guarded(json!({}), server.client_config()).await;
    let_it_fail(&registry).await;
    write(&registry, "system:kube-scheduler", "configmaps", "without").await.unwrap();
    healthy.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = write(&registry, "jane", "configmaps", "user").await.unwrap_err();
    assert!(error.message.ends_with("denied the request: back again"), "{}", error.message);
    let error = write(&registry, "system:kube-scheduler", "configmaps", "with").await.unwrap_err();
    assert!(error.message.ends_with("denied the request: back again"), "{}", error.message);
}

/// Waits for an event that is written beside the request.
async fn told(registry: &Registry, reason: &str) {
    let events = kind("events");
    for _ in 0..100 {
        let found = registry.list(events, "default", &ListOptions::default()).await.unwrap();
        if found.items.iter().any(|event| event.object().str(&["reason"]) == reason) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no event says {reason}");
}
