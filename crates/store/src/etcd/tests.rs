//! The contract, and what only an engine over a network can meet; each on members of its own.

use std::time::Duration;

use super::*;
use crate::testing::Members;
use crate::{Event, prefix_range};

/// A store with what it stands on, which must outlive it.
struct Cluster {
    store: Etcd,
    members: Members,
    _dir: tempfile::TempDir,
}

async fn cluster(count: usize, extra: &[&str]) -> Cluster {
    let dir = tempfile::tempdir().unwrap();
    let members = Members::start(dir.path(), count, None, extra);
    let store = connect(&members).await;
    Cluster { store, members, _dir: dir }
}

async fn connect(members: &Members) -> Etcd {
    Etcd::connect(Config { endpoints: members.urls(), tls: None, seen: None }).await.unwrap()
}

fn put(key: &str, value: &str, expect: Expect) -> Write {
    Write { key: key.into(), value: Some(Bytes::copy_from_slice(value.as_bytes())), expect }
}

async fn create(store: &Etcd, key: &str) -> Revision {
    store.write(put(key, "v", Expect::Absent)).await.unwrap()
}

/// The next `count` events.
async fn events(watch: &mut mpsc::Receiver<Watched>, count: usize) -> Vec<Event> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match tokio::time::timeout(Duration::from_secs(30), watch.recv()).await.expect("the watch goes on") {
            Some(Watched::Events(events)) => seen.extend(events),
            Some(Watched::Progress(_)) => {}
            ended => panic!("{ended:?} after {} events", seen.len()),
        }
    }
    seen
}

fn keys(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.key).collect()
}

impl std::ops::Deref for Cluster {
    type Target = Etcd;

    fn deref(&self) -> &Etcd {
        &self.store
    }
}

mod faults;

mod contract {
    crate::contract_tests!(async || super::cluster(3, &[]).await);
}

#[tokio::test]
async fn a_lost_member_costs_no_write_and_no_event() {
    let mut cluster = cluster(3, &[]).await;
    let mut watch = cluster.watch("/", cluster.revision().await.unwrap() + 1).await.unwrap();
    let mut made = Vec::new();
    for round in 0..6 {
        // The member that is spoken to is among those that go, one after another.
        let member = round % 3;
        cluster.members.kill(member);
        for number in 0..20 {
            let key = format!("/{round}-{number:02}");
            match cluster.write(put(&key, "v", Expect::Absent)).await {
                Ok(_) => made.push(key),
                Err(Error::Unknown(_)) if cluster.get(&key, None).await.unwrap().is_some() => made.push(key),
                Err(Error::Unknown(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        cluster.members.run(member);
        // It takes part again before the next one goes.
        let last = create(&cluster, &format!("/{round}-back")).await;
        made.push(format!("/{round}-back"));
        let url = vec![cluster.members.urls()[member].clone()];
        let alone = Etcd::connect(Config { endpoints: url, tls: None, seen: None }).await.unwrap();
        assert!(alone.revision().await.unwrap() >= last);
    }
    assert_eq!(keys(&events(&mut watch, made.len()).await), made);
}

#[tokio::test]
async fn a_member_that_falls_silent_is_left() {
    let cluster = cluster(3, &[]).await;
    create(&cluster, "/before").await;
    let mut watch = cluster.watch("/", 2).await.unwrap();
    let started = clock::monotonic();
    cluster.members.pause(0);
    assert!(cluster.get("/before", None).await.unwrap().is_some());
    create(&cluster, "/after").await;
    assert_eq!(keys(&events(&mut watch, 2).await), ["/before", "/after"]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    cluster.members.resume(0);
}

#[tokio::test]
async fn without_a_majority_nothing_is_promised() {
    let mut cluster = cluster(3, &[]).await;
    let made = create(&cluster, "/a").await;
    cluster.members.kill(1);
    cluster.members.kill(2);
    let read = cluster.get("/a", None).await;
    assert!(matches!(read, Err(Error::Unreachable(_))), "{read:?}");
    let written = cluster.write(put("/a", "2", Expect::ModRevision(made))).await;
    assert!(matches!(written, Err(Error::Unreachable(_) | Error::Unknown(_))), "{written:?}");
    cluster.members.run(1);
    let held = cluster.get("/a", None).await.unwrap().unwrap();
    assert!(held.mod_revision == made || &*held.value == b"2");
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_everyone() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let config = Config { endpoints: vec![format!("http://{closed}")], tls: None, seen: None };
    let Err(Error::Unreachable(why)) = Etcd::connect(config).await else { panic!("nobody listens there") };
    assert!(why.contains(&closed), "{why}");
}

#[tokio::test]
async fn a_value_too_large_is_refused() {
    let cluster = cluster(1, &[]).await;
    for length in [1_800_000, 3_000_000] {
        let refused = cluster.write(put("/a", &"v".repeat(length), Expect::Absent)).await;
        assert!(matches!(refused, Err(Error::TooLarge(_))), "{length}: {refused:?}");
    }
}

/// Each value fits a request, several do not fit one answer: etcd sends the batch in fragments.
#[tokio::test]
async fn large_changes_arrive_whole() {
    let cluster = cluster(1, &[]).await;
    let large = "v".repeat(1 << 20);
    for number in 0..6 {
        cluster.write(put(&format!("/{number}"), &large, Expect::Absent)).await.unwrap();
    }
    let late = connect(&cluster.members).await;
    let seen = events(&mut late.watch("/", 2).await.unwrap(), 6).await;
    assert!(seen.iter().all(|event| event.value.as_ref().is_some_and(|value| value.len() == 1 << 20)));
    assert_eq!(late.range(prefix_range("/"), 0, None).await.unwrap().items.len(), 6);
}

#[tokio::test]
async fn two_stores_on_one_cluster_see_each_other() {
    let first = cluster(3, &[]).await;
    let second = connect(&first.members).await;
    let mut watch = second.watch("/", 2).await.unwrap();
    let made = create(&first, "/a").await;
    assert_eq!(keys(&events(&mut watch, 1).await), ["/a"]);
    second.write(put("/a", "2", Expect::ModRevision(made))).await.unwrap();
    let late = first.write(put("/a", "3", Expect::ModRevision(made))).await;
    assert!(matches!(late, Err(Error::Conflict(Some(held))) if &*held.value == b"2"));
    second.compact(Revision::MAX).await.unwrap();
    assert!(matches!(first.get("/a", Some(made)).await, Err(Error::Compacted(_))));
}

#[tokio::test]
async fn an_etcd_that_went_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut members = Members::start(dir.path(), 1, None, &[]);
    let store = connect(&members).await;
    create(&store, "/a").await;
    members.kill(0);
    std::fs::remove_dir_all(dir.path().join("m0")).unwrap();
    members.run(0);
    let read = store.get("/a", None).await;
    let Err(Error::Format(why)) = read else { panic!("{read:?}") };
    assert!(why.contains("restored from an older backup"), "{why}");
}
