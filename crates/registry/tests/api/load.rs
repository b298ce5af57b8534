//! Many watchers at once, compared with what the store says happened.

use std::sync::Arc;

use registry::{Target, WatchEvent, WatchOptions};
use serde_json::{Value, json};
use store::{Store, Watched};
use tokio::sync::watch;

use crate::{Api, api, config_maps, object};

const WATCHERS: usize = 100;
const WRITERS: usize = 5;
const WRITES: usize = 160;
/// So much that the cache's ring does not hold all changes, and watchers read the store's history too.
const PAYLOAD: usize = 8 << 10;

/// A change of an object: its revision, name, and label if it is still there.
type Changed = (u64, String, Option<String>);

/// What a watcher asks for.
#[derive(Clone, Copy, Debug)]
enum Wants {
    All,
    Labelled,
    One,
}

impl Wants {
    fn options(self, from: u64) -> WatchOptions {
        let (labels, fields) = match self {
            Self::All => ("", ""),
            Self::Labelled => ("of in (yes)", ""),
            Self::One => ("", "metadata.name=w0-1"),
        };
        WatchOptions {
            label_selector: labels.to_owned(),
            field_selector: fields.to_owned(),
            resource_version: from.to_string(),
            allow_bookmarks: true,
            ..WatchOptions::default()
        }
    }

    fn selects(self, name: &str, label: Option<&str>) -> bool {
        match self {
            Self::All => label.is_some(),
            Self::Labelled => label == Some("yes"),
            Self::One => label.is_some() && name == "w0-1",
        }
    }

    /// What a watcher from `start` on must see of a history that is complete.
    fn expected(self, history: &[Changed], start: u64) -> Vec<String> {
        let mut labels = std::collections::BTreeMap::new();
        let mut seen = Vec::new();
        for (revision, name, label) in history {
            let before = labels.insert(name, label).is_some_and(|label| self.selects(name, label.as_deref()));
            let verb = match (before, self.selects(name, label.as_deref())) {
                (false, false) => continue,
                (false, true) => "ADDED",
                (true, true) => "MODIFIED",
                (true, false) => "DELETED",
            };
            if *revision > start {
                seen.push(format!("{verb} {name} at {revision}"));
            }
        }
        seen
    }
}

fn line(event: &WatchEvent) -> Option<String> {
    let (verb, entry) = match event {
        WatchEvent::Added(entry) => ("ADDED", entry),
        WatchEvent::Modified(entry) => ("MODIFIED", entry),
        WatchEvent::Deleted(entry) => ("DELETED", entry),
        WatchEvent::Bookmark { .. } => return None,
        WatchEvent::Error(error) => panic!("{error}"),
    };
    Some(format!("{verb} {} at {}", entry.name(), entry.revision()))
}

async fn put(api: &Api, name: &str, label: &str) -> u64 {
    let body = object(json!({
        "metadata": {"name": name, "labels": {"of": label}}, "data": {"payload": "x".repeat(PAYLOAD)},
    }));
    let updated = api.registry.update(&api.cx, config_maps(), "default", name, Target::Main, body.clone()).await;
    match updated {
        Ok(written) => written.entry.revision(),
        Err(_) => api.registry.create(&api.cx, config_maps(), "default", body).await.unwrap().revision(),
    }
}

async fn write(api: &Api, writer: usize) {
    for number in 0..WRITES {
        let name = format!("w{writer}-{}", number % 7);
        if number % 11 == 10 {
            // It may be gone already.
            let _ = api.registry.delete(&api.cx, config_maps(), "default", &name, &Default::default()).await;
        } else {
            put(api, &name, if number % 3 == 0 { "yes" } else { "no" }).await;
        }
    }
}

/// Reads until `end` is seen; a slow watcher begins when the writers are through.
async fn follow(api: Arc<Api>, wants: Wants, from: u64, slow: bool, mut end: watch::Receiver<u64>) -> Vec<String> {
    let mut watch = api.registry.watch(config_maps(), "default", &wants.options(from)).await.unwrap();
    if slow {
        end.wait_for(|end| *end > 0).await.unwrap();
    }
    let mut seen = Vec::new();
    loop {
        seen.extend(line(&watch.next().await.expect("it goes on")));
        let end = *end.borrow();
        if end > 0 && seen.last().is_some_and(|line| line.ends_with(&format!(" at {end}"))) {
            return seen;
        }
        if seen.len() % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn history(api: &Api, end: u64) -> Vec<Changed> {
    let mut messages = api.store.watch("/registry/configmaps/", 1).await.unwrap();
    let mut history: Vec<Changed> = Vec::new();
    while history.last().is_none_or(|(revision, ..)| *revision < end) {
        let Watched::Events(events) = messages.recv().await.unwrap() else { continue };
        for event in events {
            let name = event.key.rsplit('/').next().unwrap_or_default().to_owned();
            let label = event.value.map(|value| {
                let value: Value = serde_json::from_slice(&value).unwrap();
                value["metadata"]["labels"]["of"].as_str().unwrap().to_owned()
            });
            history.push((event.revision, name, label));
        }
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_watchers_see_what_the_store_says_happened() {
    let api = Arc::new(api().await);
    let before = put(&api, "w0-1", "yes").await;
    for number in 0..20 {
        put(&api, &format!("w{}-0", number % WRITERS), "no").await;
    }
    let (ended, end) = watch::channel(0);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let api = api.clone();
            tokio::spawn(async move { write(&api, writer).await })
        })
        .collect();
    let mut watchers = Vec::new();
    for number in 0..WATCHERS {
        let wants = [Wants::All, Wants::Labelled, Wants::One][number % 3];
        let newest = api.store.revision().await.unwrap();
        let from = if number % 2 == 0 { newest } else { before + number as u64 % 20 };
        let following = tokio::spawn(follow(api.clone(), wants, from, number % 5 == 0, end.clone()));
        watchers.push((wants, from, following));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    // Two writes that every watcher sees the second of.
    put(&api, "w0-1", "no").await;
    let last = put(&api, "w0-1", "yes").await;
    ended.send_replace(last);
    let history = history(&api, last).await;
    for (wants, from, following) in watchers {
        assert_eq!(following.await.unwrap(), wants.expected(&history, from), "{wants:?} from {from}");
    }
}
