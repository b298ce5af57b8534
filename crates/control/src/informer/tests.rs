use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::*;
use crate::testing;

fn pod(name: &str, version: u64, node: &str) -> Value {
    json!({
        "metadata": {
            "namespace": "default", "name": name, "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
            "managedFields": [{ "manager": "test" }],
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs" }],
        },
        "spec": { "nodeName": node, "containers": [] },
    })
}

fn event(type_: &str, mut object: Value) -> String {
    object["kind"] = json!("Pod");
    object["apiVersion"] = json!("v1");
    format!("{}\n", json!({ "type": type_, "object": object }))
}

fn end_of_list(version: u64) -> String {
    let annotations = json!({ "k8s.io/initial-events-end": "true" });
    let metadata = json!({ "resourceVersion": version.to_string(), "annotations": annotations });
    event("BOOKMARK", json!({ "metadata": metadata, "spec": { "containers": [] } }))
}

/// A client whose watches are fed by the streams sent here, in order.
fn watched() -> (Client, mpsc::UnboundedSender<mpsc::UnboundedReceiver<String>>) {
    let (feed, feeds) = mpsc::unbounded_channel();
    let feeds = Arc::new(tokio::sync::Mutex::new(feeds));
    let client = testing::client(move |_| {
        let feeds = feeds.clone();
        async move {
            match feeds.lock().await.recv().await {
                Some(lines) => testing::lines(200, UnboundedReceiverStream::new(lines)),
                None => std::future::pending().await,
            }
        }
    });
    (client, feed)
}

fn stream(feed: &mpsc::UnboundedSender<mpsc::UnboundedReceiver<String>>) -> mpsc::UnboundedSender<String> {
    let (lines, receiver) = mpsc::unbounded_channel();
    feed.send(receiver).expect("the client takes streams");
    lines
}

fn say(change: &Change<Pod>) -> String {
    let name = change.object().metadata.name.clone().unwrap_or_default();
    match change {
        Change::Added(_) => format!("+{name}"),
        Change::Updated { .. } => format!("~{name}"),
        Change::Deleted(_) => format!("-{name}"),
    }
}

async fn until(informer: &Informer<Pod>, what: impl Fn(&Informer<Pod>) -> bool) {
    let mut version = informer.version();
    while !what(informer) {
        version.changed().await.expect("the informer lives");
    }
}

#[tokio::test]
async fn an_informer_follows_the_watch_and_indexes_it() {
    let (client, feed) = watched();
    let informers = Informers::new(client);
    let pods = informers.get::<Pod>();
    let seen = Arc::new(Mutex::new(Vec::new()));
    pods.subscribe({
        let seen = seen.clone();
        move |change| seen.lock().push(say(change))
    });
    pods.add_index(crate::pods::BY_NODE, crate::pods::node_index);

    let lines = stream(&feed);
    for line in [event("ADDED", pod("a", 1, "n1")), event("ADDED", pod("b", 2, "n1")), end_of_list(2)] {
        lines.send(line).unwrap();
    }
    pods.synced().await;
    assert_eq!(pods.by_index(crate::pods::BY_NODE, "n1").len(), 2);
    assert_eq!(pods.owned_by("rs").len(), 2);
    assert!(pods.find("default", "a").unwrap().metadata.managed_fields.is_none());

    lines.send(event("MODIFIED", pod("a", 3, "n2"))).unwrap();
    lines.send(event("DELETED", pod("b", 4, "n1"))).unwrap();
    until(&pods, |pods| pods.len() == 1).await;
    assert_eq!(pods.by_index(crate::pods::BY_NODE, "n2").len(), 1);
    assert!(pods.by_index(crate::pods::BY_NODE, "n1").is_empty());
    assert_eq!(*seen.lock(), ["+a", "+b", "~a", "-b"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_list_removes_what_vanished_while_the_watch_was_down() {
    let (client, feed) = watched();
    let informers = Informers::new(client);
    let pods = informers.get::<Pod>();
    let lines = stream(&feed);
    lines.send(event("ADDED", pod("a", 1, "n1"))).unwrap();
    lines.send(event("ADDED", pod("b", 2, "n1"))).unwrap();
    lines.send(end_of_list(2)).unwrap();
    pods.synced().await;

    let gone = json!({ "type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old", "reason": "Expired", "code": 410 } });
    lines.send(format!("{gone}\n")).unwrap();
    let again = stream(&feed);
    again.send(event("ADDED", pod("b", 2, "n1"))).unwrap();
    again.send(event("ADDED", pod("c", 5, "n1"))).unwrap();
    again.send(end_of_list(5)).unwrap();
    until(&pods, |pods| pods.find("default", "a").is_none()).await;
    assert_eq!(pods.list().iter().map(|pod| pod.metadata.name.clone().unwrap()).collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn a_late_subscriber_sees_what_is_there_and_a_recreated_object_as_two_changes() {
    let pods = Informer::<Pod>::detached();
    let named = |uid: &str, version: &str| {
        let mut pod = Pod::default();
        pod.metadata.name = Some("a".to_owned());
        pod.metadata.uid = Some(uid.to_owned());
        pod.metadata.resource_version = Some(version.to_owned());
        pod
    };
    pods.apply(named("u1", "1"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    pods.subscribe({
        let seen = seen.clone();
        move |change| seen.lock().push(say(change))
    });
    pods.apply(named("u1", "1"));
    pods.apply(named("u1", "2"));
    pods.apply(named("u2", "3"));
    assert_eq!(*seen.lock(), ["+a", "~a", "-a", "+a"]);
}
