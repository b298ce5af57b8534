//! Watches: each change once, in order, whatever the watcher's pace.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use registry::{Watch, WatchEvent, WatchOptions};
use store::{Expect, Store, Watched, Write};

use crate::{Api, api, config_maps, kind, next, object};

fn from(revision: u64) -> WatchOptions {
    WatchOptions { resource_version: revision.to_string(), ..WatchOptions::default() }
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there() {
    let api = api().await;
    api.put_map("a", "1").await;
    let mut watch = api.watch_maps(WatchOptions::default()).await;
    assert_eq!(next(&mut watch).await, "ADDED a=1");
    api.put_map("a", "2").await;
    api.delete_map("a").await;
    assert_eq!(next(&mut watch).await, "MODIFIED a=2");
    assert_eq!(next(&mut watch).await, "DELETED a=2");
}

#[tokio::test]
async fn a_watch_goes_on_from_a_revision() {
    let api = api().await;
    let made = api.put_map("a", "1").await;
    api.put_map("b", "2").await;
    let mut watch = api.watch_maps(from(made.revision())).await;
    assert_eq!(next(&mut watch).await, "ADDED b=2");
}

#[tokio::test]
async fn objects_that_cease_to_match_are_deleted_for_the_watcher() {
    let api = api().await;
    let labelled = WatchOptions { label_selector: "of=yes".to_owned(), ..WatchOptions::default() };
    let mut watch = api.watch_maps(labelled).await;
    for value in ["no", "yes", "no"] {
        api.put_map("a", value).await;
    }
    let gone = api.registry.get(config_maps(), "default", "a", "").await.unwrap().revision();
    assert_eq!(next(&mut watch).await, "ADDED a=yes");
    let WatchEvent::Deleted(last) = watch.next().await.unwrap() else { panic!("it no longer matches") };
    assert_eq!((last.object().str(&["data", "key"]), last.revision()), ("yes", gone), "the last state that matched");
    api.delete_map("a").await;
    api.put_map("b", "yes").await;
    assert_eq!(next(&mut watch).await, "ADDED b=yes", "what was out of sight goes unseen");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_about_each_minute_and_after_the_initial_events() {
    let api = api().await;
    api.put_map("a", "1").await;
    let options = WatchOptions { allow_bookmarks: true, send_initial_events: Some(true), ..WatchOptions::default() };
    let mut watch = api.watch_maps(options).await;
    assert_eq!(next(&mut watch).await, "ADDED a=1");
    assert_eq!(next(&mut watch).await, "INITIAL END");
    api.create(kind("", "v1", "secrets"), serde_json::json!({"metadata": {"name": "s"}})).await.unwrap();
    let begun = tokio::time::Instant::now();
    let WatchEvent::Bookmark { revision, .. } = watch.next().await.unwrap() else { panic!("nothing else happened") };
    assert_eq!(revision, api.store.revision().await.unwrap(), "it tells of changes elsewhere");
    assert!((Duration::from_secs(60)..Duration::from_secs(80)).contains(&begun.elapsed()));
}

#[tokio::test]
async fn history_that_is_gone_ends_the_watch() {
    let api = api().await;
    let made = api.put_map("a", "1").await;
    for number in 0..3 {
        api.put_map("a", &number.to_string()).await;
    }
    api.store.compact(u64::MAX).await.unwrap();
    let reopened = crate::open(api.store.clone()).await;
    let mut watch = reopened.watch(config_maps(), "", &from(made.revision())).await.unwrap();
    let end = next(&mut watch).await;
    assert_eq!(end, format!("ERROR too old resource version: {} (4)", made.revision()));
    assert_eq!(next(&mut watch).await, "END");
}

/// More changes than the cache keeps: the watcher reads on from the store's history.
#[tokio::test]
async fn a_slow_watcher_misses_nothing() {
    const CHANGES: usize = 6000;
    let api = api().await;
    let mut watch = api.watch_maps(WatchOptions::default()).await;
    write_raw(&api, CHANGES).await;
    api.registry.list(config_maps(), "", &Default::default()).await.unwrap();
    for number in 0..CHANGES {
        let verb = if number == 0 { "ADDED" } else { "MODIFIED" };
        assert_eq!(next(&mut watch).await, format!("{verb} raw={number}"));
    }
    api.put_map("raw", "last").await;
    assert_eq!(next(&mut watch).await, "MODIFIED raw=last");
}

/// The cache itself falls so far behind that its history is gone: it loads everything again, and watchers
/// are told to do the same.
#[tokio::test]
async fn a_cache_that_lost_its_history_starts_over() {
    let api = api().await;
    api.put_map("kept", "1").await;
    let mut watch = api.watch_maps(WatchOptions::default()).await;
    assert_eq!(next(&mut watch).await, "ADDED kept=1");
    write_raw(&api, 6000).await;
    api.store.compact(u64::MAX).await.unwrap();
    let list = api.list_maps(Default::default()).await.unwrap();
    let values: Vec<_> = list.items.iter().map(|entry| entry.object().str(&["data", "key"]).to_owned()).collect();
    assert_eq!(values, ["1", "5999"]);
    loop {
        let event = next(&mut watch).await;
        if event.starts_with("ERROR") {
            assert!(event.contains("too old resource version"), "{event}");
            break;
        }
        assert!(event.contains("raw="), "{event}");
    }
    let mut again = api.watch_maps(from(list.revision)).await;
    api.put_map("kept", "2").await;
    assert_eq!(next(&mut again).await, "MODIFIED kept=2");
}

/// Changes of others push what a watcher of one object has read out of the ring: it goes on, and is not told again.
#[tokio::test]
async fn a_watcher_of_one_object_outlives_the_changes_of_others() {
    let api = api().await;
    let made = api.put_map("a", "1").await;
    let mut idle = api.watch_maps(of_name("a", made.revision())).await;
    let mut reading = api.watch_maps(of_name("a", made.revision())).await;
    api.put_map("a", "2").await;
    assert_eq!(next(&mut reading).await, "MODIFIED a=2");
    write_raw(&api, 6000).await;
    api.put_map("a", "3").await;
    assert_eq!(next(&mut reading).await, "MODIFIED a=3");
    assert_eq!(next(&mut idle).await, "MODIFIED a=2", "from the store's history");
    assert_eq!(next(&mut idle).await, "MODIFIED a=3");
    api.delete_map("a").await;
    for watch in [&mut idle, &mut reading] {
        assert_eq!(next(watch).await, "DELETED a=3");
    }
}

async fn write_raw(api: &Api, changes: usize) {
    let mut expect = Expect::Absent;
    for number in 0..changes {
        let json = object(serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "raw", "namespace": "default", "uid": "u"},
            "data": {"key": number.to_string()},
        }));
        let value = Some(json.to_bytes().into());
        let write = Write { key: "/registry/configmaps/default/raw".into(), value, expect };
        expect = Expect::ModRevision(api.store.write(write).await.unwrap());
    }
}

/// What the store says happened to config maps, as `revision name value`, and what three watches of it tell: of all
/// of them; of `m0` alone; and of `m0` alone again, begun when everything had happened.
async fn histories(commands: &[(u8, u8)], start: usize) -> (Vec<String>, [Vec<String>; 3]) {
    let api = api().await;
    let mut watches = Vec::new();
    let mut live: BTreeMap<String, u64> = BTreeMap::new();
    let mut begun = 0;
    for (at, (name, action)) in commands.iter().enumerate() {
        if at == start {
            begun = api.store.revision().await.unwrap();
            watches = vec![api.watch_maps(from(begun)).await, api.watch_maps(of_name("m0", begun)).await];
        }
        let name = format!("m{name}");
        if *action == 0 && live.remove(&name).is_some() {
            api.delete_map(&name).await;
        } else {
            live.insert(name.clone(), api.put_map(&name, &format!("{at}")).await.revision());
        }
    }
    watches.push(api.watch_maps(of_name("m0", begun)).await);
    let expected = store_history(&api, begun + 1).await;
    let of_m0 = expected.iter().filter(|event| event.contains(" m0 ")).count();
    let mut seen = Vec::new();
    for (watch, count) in watches.iter_mut().zip([expected.len(), of_m0, of_m0]) {
        seen.push(history(watch, count).await);
    }
    (expected, seen.try_into().expect("three watches"))
}

fn of_name(name: &str, revision: u64) -> WatchOptions {
    WatchOptions { field_selector: format!("metadata.name={name}"), ..from(revision) }
}

async fn history(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.push(match watch.next().await.unwrap() {
            WatchEvent::Added(entry) | WatchEvent::Modified(entry) => {
                format!("{} {} {}", entry.revision(), entry.name(), entry.object().str(&["data", "key"]))
            }
            WatchEvent::Deleted(entry) => format!("{} {} gone", entry.revision(), entry.name()),
            other => panic!("{other:?}"),
        });
    }
    seen
}

async fn store_history(api: &Api, from: u64) -> Vec<String> {
    let newest = api.store.revision().await.unwrap();
    let mut watch = api.store.watch("/registry/configmaps/", from).await.unwrap();
    let mut expected = Vec::new();
    let mut reached = from - 1;
    while reached < newest {
        match watch.recv().await.unwrap() {
            Watched::Events(events) => {
                for event in events {
                    reached = event.revision;
                    let name = event.key.rsplit('/').next().unwrap_or_default().to_owned();
                    let value = event.value.map_or("gone".to_owned(), |value| {
                        let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
                        value["data"]["key"].as_str().unwrap().to_owned()
                    });
                    expected.push(format!("{reached} {name} {value}"));
                }
            }
            Watched::Progress(revision) => reached = reached.max(revision),
            Watched::Compacted(revision) => panic!("compacted at {revision}"),
        }
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A watch that starts anywhere sees exactly what the store holds as history.
    #[test]
    fn a_watcher_sees_exactly_the_stores_history(
        commands in proptest::collection::vec((0_u8..5, 0_u8..3), 2..60),
        start in any::<proptest::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (expected, seen) = runtime.block_on(histories(&commands, start.index(commands.len())));
        let of_m0: Vec<String> = expected.iter().filter(|event| event.contains(" m0 ")).cloned().collect();
        prop_assert_eq!(seen, [expected, of_m0.clone(), of_m0]);
    }
}

/// Writers and watchers at the same time, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watchers_under_load_see_every_revision_in_order() {
    const WRITERS: usize = 8;
    const WRITES: usize = 100;
    let api = std::sync::Arc::new(api().await);
    let watchers: Vec<_> = (0..4)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move {
                let mut watch = api.watch_maps(WatchOptions::default()).await;
                let mut revisions = Vec::new();
                while revisions.len() < WRITERS * WRITES {
                    match watch.next().await.unwrap() {
                        WatchEvent::Added(entry) | WatchEvent::Modified(entry) => revisions.push(entry.revision()),
                        other => panic!("{other:?}"),
                    }
                }
                revisions
            })
        })
        .collect();
    tokio::task::yield_now().await;
    let writers = (0..WRITERS).map(|writer| {
        let api = api.clone();
        tokio::spawn(async move {
            for number in 0..WRITES {
                api.put_map(&format!("w{writer}-{number}"), "x").await;
            }
        })
    });
    futures::future::join_all(writers.collect::<Vec<_>>()).await;
    for watcher in watchers {
        let revisions = watcher.await.unwrap();
        let mut sorted = revisions.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), WRITERS * WRITES, "each change once");
    }
}
