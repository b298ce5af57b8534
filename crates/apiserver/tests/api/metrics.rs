//! What those who watch the server see of it.

use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;

use crate::support::{Api, start};

async fn shown(api: &Api) -> String {
    api.get("/metrics").await.text().to_owned()
}

fn assert_shows(text: &str, line: &str) {
    assert!(text.lines().any(|of| of.starts_with(line)), "{line}: {text}");
}

#[tokio::test]
async fn what_watchers_are_sent_is_counted() {
    let api = start().await.bootstrapped().await;
    let request = Request::get("/api/v1/namespaces/default/configmaps?watch=1").header("authorization", "Bearer admin");
    let mut watch = api.raw(request.body(Full::default()).unwrap()).await.into_body();
    let map = json!({"metadata": {"name": "m"}, "data": {"text": "x".repeat(3000)}});
    api.post("/api/v1/namespaces/default/configmaps", &map).await.expect(201);
    watch.frame().await.unwrap().unwrap();
    let (text, kind) = (shown(&api).await, r#"group="",version="v1",resource="configmaps""#);
    assert_shows(&text, &format!("apiserver_watch_events_total{{{kind}}} 1"));
    assert_shows(&text, &format!("apiserver_watch_events_sizes_bucket{{le=\"2048\",{kind}}} 0"));
    assert_shows(&text, &format!("apiserver_watch_events_sizes_bucket{{le=\"4096\",{kind}}} 1"));
}

#[tokio::test]
async fn who_is_let_in_is_counted() {
    let api = start().await;
    api.as_user("reader", "DELETE", "/api/v1/nodes/n").await;
    api.as_user("bad", "GET", "/api/v1/nodes").await;
    let text = shown(&api).await;
    assert_shows(&text, r#"authorization_attempts_total{result="allowed"} 1"#);
    assert_shows(&text, r#"authorization_attempts_total{result="no-opinion"} 1"#);
    assert_shows(&text, r#"authentication_duration_seconds_count{result="success"} 2"#);
    assert_shows(&text, r#"authentication_duration_seconds_count{result="failure"} 1"#);
    assert_shows(&text, "# TYPE authentication_attempts counter");
    assert_shows(&text, r#"authentication_attempts{result="success"} 2"#);
    assert_shows(&text, r#"authentication_attempts{result="failure"} 1"#);
    assert_shows(&text, r#"authenticated_user_requests{username="other"} 1"#);
    assert_shows(&text, r#"authenticated_user_requests{username="admin"} 1"#);
}

#[tokio::test]
async fn checks_are_counted_and_the_version_is_shown() {
    let api = start().await;
    api.get("/readyz").await;
    let text = shown(&api).await;
    assert_shows(&text, r#"kubernetes_healthcheck{name="ping",type="readyz"} 1"#);
    assert_shows(&text, r#"kubernetes_healthchecks_total{name="shutdown",type="readyz",status="success"} 1"#);
    assert_shows(&text, r#"kubernetes_build_info{major="1",minor="35",git_version="v1.35.0"#);
}

#[tokio::test]
async fn configurations_are_shown_to_who_may_see_them() {
    let api = start().await;
    assert_eq!(api.get("/configz").await.expect(200), json!({"kubescheduler.config.k8s.io": {}}));
    assert_eq!(api.as_user("nobody", "GET", "/configz").await.status, 403);
}
