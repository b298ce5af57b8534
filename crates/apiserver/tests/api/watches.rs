use apiserver::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use store::Store as _;

use crate::support::{Api, start};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// The events of a watch, one by one.
pub struct Events(Body);

impl Events {
    pub async fn open(api: &Api, uri: &str, accept: &str) -> Self {
        let request = Request::get(uri).header("authorization", "Bearer admin").header("accept", accept);
        let response = api.raw(request.body(Full::<Bytes>::default()).unwrap()).await;
        assert_eq!(response.status().as_u16(), 200);
        Self(response.into_body())
    }

    pub async fn next(&mut self) -> Option<Value> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.extend_from_slice(&self.0.frame().await?.unwrap().into_data().unwrap());
        }
        Some(serde_json::from_slice(&line).unwrap())
    }

    /// `ADDED web`
    pub async fn line(&mut self) -> String {
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

fn watched(options: &str) -> String {
    format!("{CONFIG_MAPS}?watch=1&{options}")
}

/// The message of the first event, which must be an error.
async fn error_of(api: &Api, options: &str) -> String {
    let mut events = Events::open(api, &watched(options), "application/json").await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["kind"]), (&json!("ERROR"), &json!("Status")), "{event}");
    assert_eq!(events.next().await, None, "it is over");
    format!("{} {}", event["object"]["code"], event["object"]["message"].as_str().unwrap())
}

#[tokio::test]
async fn a_watch_that_cannot_start_where_asked_says_so_in_an_event() {
    let api = ready().await;
    for value in 0..3 {
        let patch = json!({"data": {"a": value.to_string()}});
        api.patch(&format!("{CONFIG_MAPS}/web"), "application/merge-patch+json", &patch).await.expect(200);
    }
    api.store.compact(u64::MAX).await.unwrap();
    // The cache remembers more than the store; one that was just loaded does not.
    let api = api.reopened().await;
    let newest = api.revision().await;
    let gone = error_of(&api, "resourceVersion=1").await;
    assert_eq!(gone, format!("410 too old resource version: 1 ({})", newest - 1));
    let list = api.get(CONFIG_MAPS).await.expect(200);
    let again = format!("resourceVersion={}", list["metadata"]["resourceVersion"].as_str().unwrap());
    let mut events = Events::open(&api, &watched(&again), "*/*").await;
    api.delete(&format!("{CONFIG_MAPS}/web")).await.expect(200);
    assert_eq!(events.line().await, "DELETED web", "a list and a watch from there recover");
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_of_what_is_yet_to_come_fails_in_an_event() {
    let api = ready().await;
    let now = api.revision().await;
    let error = error_of(&api, "resourceVersion=1000&sendInitialEvents=true&resourceVersionMatch=NotOlderThan").await;
    assert_eq!(error, format!("504 Timeout: Too large resource version: 1000, current: {now}"));
}

#[tokio::test]
async fn a_watch_may_wait_for_a_revision_that_is_yet_to_come() {
    let api = ready().await;
    let wanted = api.revision().await + 1;
    let mut events = Events::open(&api, &watched(&format!("resourceVersion={wanted}")), "*/*").await;
    for name in ["early", "late"] {
        api.post(CONFIG_MAPS, &json!({"metadata": {"name": name}})).await.expect(201);
    }
    assert_eq!(events.line().await, "ADDED late");
}

#[tokio::test]
async fn a_watch_begins_as_its_options_say() {
    let api = ready().await;
    let begun = async |options: &str| {
        // What is at hand is then the newest.
        api.get(CONFIG_MAPS).await.expect(200);
        let mut events = Events::open(&api, &watched(&format!("allowWatchBookmarks=1&{options}")), "*/*").await;
        let name = format!("late{}", api.revision().await);
        let added = api.post(CONFIG_MAPS, &json!({"metadata": {"name": name}})).await.expect(201);
        let mut lines = Vec::new();
        loop {
            let event = events.next().await.unwrap();
            let metadata = &event["object"]["metadata"];
            if metadata["name"] == name.as_str() {
                break;
            }
            let end = metadata["annotations"]["k8s.io/initial-events-end"] == "true";
            lines.push(if end { "END" } else { event["type"].as_str().unwrap() }.to_owned());
        }
        api.delete(&format!("{CONFIG_MAPS}/{name}")).await.expect(200);
        assert!(added.is_object());
        lines.join(" ")
    };
    assert_eq!(begun("").await, "ADDED END");
    assert_eq!(begun("resourceVersion=0").await, "ADDED END");
    let newest = format!("resourceVersion={}", api.revision().await);
    assert_eq!(begun(&newest).await, "");
    let streaming = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    assert_eq!(begun(streaming).await, "ADDED END");
    assert_eq!(begun(&format!("{newest}&{streaming}")).await, "ADDED END");
    let silent = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    assert_eq!(begun(silent).await, "");
    assert_eq!(begun(&format!("resourceVersion=0&{silent}")).await, "");
}

#[tokio::test]
async fn the_old_paths_of_watches_have_the_rules_of_lists() {
    let api = ready().await;
    let old = "/api/v1/watch/namespaces/default/configmaps";
    let mut events = Events::open(&api, &format!("{old}?allowWatchBookmarks=1"), "*/*").await;
    assert_eq!(events.line().await, "ADDED web");
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "other"}})).await.expect(201);
    assert_eq!(events.line().await, "ADDED other", "no bookmark says that the initial events are through");
    let mut one = Events::open(&api, &format!("{old}/other"), "*/*").await;
    assert_eq!(one.line().await, "ADDED other");
    let refused = api.get(&format!("{old}/other?fieldSelector=metadata.name%3Dweb")).await;
    assert_eq!(refused.problem(), "400 BadRequest: fieldSelector metadata.name doesn't match requested name");
    let refused =
        api.get(&format!("{old}?sendInitialEvents=1&resourceVersionMatch=NotOlderThan&resourceVersion=5")).await;
    assert!(refused.problem().contains("sendInitialEvents is forbidden for list"), "{}", refused.problem());
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_comes_each_minute_and_two_seconds_before_the_end() {
    let api = ready().await;
    let begun = tokio::time::Instant::now();
    let options = format!("resourceVersion={}&allowWatchBookmarks=1&timeoutSeconds=200", api.revision().await);
    let mut events = Events::open(&api, &watched(&options), "*/*").await;
    api.post("/api/v1/namespaces/default/secrets", &json!({"metadata": {"name": "elsewhere"}})).await.expect(201);
    let mut at = Vec::new();
    while let Some(event) = events.next().await {
        assert_eq!(event["type"], "BOOKMARK");
        assert_eq!(event["object"]["metadata"]["resourceVersion"], api.revision().await.to_string());
        at.push(begun.elapsed().as_secs());
    }
    let [first, second, third, last] = at[..] else { panic!("{at:?}") };
    assert!((45..=75).contains(&first), "{at:?}");
    assert_eq!((second - first, third - second, last), (60, 60, 198), "{at:?}");
    assert_eq!(begun.elapsed().as_secs(), 200);
}
