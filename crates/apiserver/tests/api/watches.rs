use apiserver::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use crate::support::{Api, start};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// The events of a watch, one by one.
struct Events(Body);

impl Events {
    async fn open(api: &Api, uri: &str, accept: &str) -> Self {
        let request = Request::get(uri).header("authorization", "Bearer admin").header("accept", accept);
        let response = api.raw(request.body(Full::<Bytes>::default()).unwrap()).await;
        assert_eq!(response.status().as_u16(), 200);
        Self(response.into_body())
    }

    async fn next(&mut self) -> Option<Value> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.extend_from_slice(&self.0.frame().await?.unwrap().into_data().unwrap());
        }
        Some(serde_json::from_slice(&line).unwrap())
    }

    /// `ADDED web`
    async fn line(&mut self) -> String {
        let event = self.next().await.unwrap();
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
        format!("{} {name}", event["type"].as_str().unwrap())
    }
}

async fn ready() -> Api {
    let api = start().await.bootstrapped().await;
    let body = json!({"metadata": {"name": "web"}, "data": {"a": "1"}});
    api.post(CONFIG_MAPS, &body).await.expect(201);
    api
}

#[tokio::test]
async fn a_watch_shows_what_is_and_what_happens() {
    let api = ready().await;
    let mut events = Events::open(&api, &format!("{CONFIG_MAPS}?watch=true"), "*/*").await;
    assert_eq!(events.line().await, "ADDED web");
    let patch = json!({"data": {"a": "2"}});
    api.patch(&format!("{CONFIG_MAPS}/web"), "application/merge-patch+json", &patch).await.expect(200);
    assert_eq!(events.line().await, "MODIFIED web");
    api.delete(&format!("{CONFIG_MAPS}/web")).await.expect(200);
    assert_eq!(events.line().await, "DELETED web");
}

#[tokio::test]
async fn a_watch_goes_on_from_a_list() {
    let api = ready().await;
    let list = api.get(CONFIG_MAPS).await.expect(200);
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let uri = format!("/api/v1/watch/namespaces/default/configmaps?resourceVersion={version}");
    let mut events = Events::open(&api, &uri, "application/json").await;
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "other"}})).await.expect(201);
    assert_eq!(events.line().await, "ADDED other");
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let api = ready().await;
    let options = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = Events::open(&api, &format!("{CONFIG_MAPS}?{options}"), "application/json").await;
    assert_eq!(events.line().await, "ADDED web");
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn a_watch_can_show_tables_and_one_object() {
    let api = ready().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let uri = format!("{CONFIG_MAPS}?watch=true&fieldSelector=metadata.name%3Dweb");
    let mut events = Events::open(&api, &uri, accept).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["object"]["kind"], &event["object"]["rows"][0]["cells"][0]), (&json!("Table"), &json!("web")));
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_up() {
    let api = ready().await;
    let mut events = Events::open(&api, &format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1"), "*/*").await;
    assert_eq!(events.line().await, "ADDED web");
    assert_eq!(events.next().await, None);
}
