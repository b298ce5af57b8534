//! What happens to an etcd besides the loss of members: others compact it, it runs full, falls silent, loses a member for
//! good, or comes back from a backup.

use std::path::Path;
use std::process::Command;

use super::*;

/// What etcdctl says, once members that have just started do as they are told.
async fn etcdctl(members: &Members, words: &[&str]) -> String {
    let started = clock::monotonic();
    loop {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", members.urls().join(","))).args(words);
        let done = command.output().expect("etcdctl is installed");
        if done.status.success() {
            return String::from_utf8_lossy(&done.stdout).into_owned();
        }
        let why = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(started.elapsed() < Duration::from_secs(30), "{words:?}: {why}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn delete(store: &Etcd, key: &str) -> Result<Revision> {
    let held = store.get(key, None).await?.expect("it is there");
    store.write(Write { key: key.into(), value: None, expect: Expect::ModRevision(held.mod_revision) }).await
}

#[tokio::test]
async fn a_full_etcd_refuses_writes_and_takes_them_again_after_its_upkeep() {
    let cluster = cluster(1, &["--quota-backend-bytes=4194304"]).await;
    let first = create(&cluster, "/first").await;
    let large = "v".repeat(1 << 20);
    let mut made = Vec::new();
    let refused = loop {
        let key = format!("/{}", made.len());
        match cluster.write(put(&key, &large, Expect::Absent)).await {
            Ok(_) => made.push(key),
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, Error::Full(why) if why.starts_with("etcdserver: mvcc: database space exceeded")));
    assert_eq!(cluster.get("/first", None).await.unwrap().unwrap().mod_revision, first);
    for key in &made {
        delete(&cluster, key).await.expect("what frees space is not refused");
    }
    cluster.compact(Revision::MAX).await.unwrap();
    etcdctl(&cluster.members, &["defrag"]).await;
    etcdctl(&cluster.members, &["alarm", "disarm"]).await;
    assert!(create(&cluster, "/again").await > first);
}

#[tokio::test]
async fn a_silent_etcd_is_out_of_reach_until_it_answers() {
    let cluster = cluster(3, &[]).await;
    let made = create(&cluster, "/a").await;
    let mut watch = cluster.watch("/", made + 1).await.unwrap();
    (0..3).for_each(|member| cluster.members.pause(member));
    let writing = cluster.write(put("/b", "v", Expect::Absent));
    let (read, written) = tokio::join!(cluster.get("/a", None), writing);
    (0..3).for_each(|member| cluster.members.resume(member));
    let Err(Error::Unreachable(why)) = read else { panic!("{read:?}") };
    assert!(cluster.members.urls().iter().any(|member| why.contains(member)), "{why}");
    assert!(matches!(written, Err(Error::Unknown(_) | Error::Unreachable(_))), "{written:?}");
    let mut last = None;
    while last.is_none() {
        // An election may be under way.
        last = cluster.write(put("/c", "v", Expect::Absent)).await.ok();
    }
    // The write that was cut off may have happened.
    let mut seen = Vec::new();
    while seen.iter().all(|event: &crate::Event| &*event.key != "/c") {
        seen.extend(events(&mut watch, 1).await);
    }
    assert!(keys(&seen) == ["/c"] || keys(&seen) == ["/b", "/c"], "{seen:?}");
}

#[tokio::test]
async fn what_others_compact_is_gone() {
    let cluster = cluster(1, &[]).await;
    let made = create(&cluster, "/a").await;
    for number in 0..10 {
        create(&cluster, &format!("/{number}")).await;
    }
    let compacted = (made + 5).to_string();
    etcdctl(&cluster.members, &["compact", &compacted]).await;
    let read = cluster.get("/a", Some(made)).await;
    assert!(matches!(read, Err(Error::Compacted(_))), "{read:?}");
    let late = connect(&cluster.members).await;
    let told = late.watch("/", made).await.unwrap().recv().await;
    assert!(matches!(told, Some(Watched::Compacted(_))), "{told:?}");
}

/// As etcd's documentation advises who has run out of space. etcd drops a deletion that it is compacted at.
#[tokio::test]
async fn history_that_others_compact_up_to_a_deletion_is_no_other_past() {
    let mut cluster = cluster(1, &[]).await;
    create(&cluster, "/a").await;
    let gone = delete(&cluster, "/a").await.unwrap();
    let mut watch = cluster.watch("/", gone).await.unwrap();
    events(&mut watch, 1).await;
    etcdctl(&cluster.members, &["compact", &gone.to_string()]).await;
    cluster.members.kill(0);
    cluster.members.run(0);
    // Reads are tried again on a new connection.
    assert!(cluster.get("/a", None).await.unwrap().is_none());
    let next = create(&cluster, "/b").await;
    let told = tokio::time::timeout(Duration::from_secs(20), watch.recv()).await.expect("the watch goes on");
    assert!(next == gone + 1 && told.is_some(), "{told:?}");
    assert!(cluster.get("/b", None).await.is_ok());
}

#[tokio::test]
async fn a_member_that_is_taken_out_is_left() {
    let cluster = cluster(3, &[]).await;
    let made = create(&cluster, "/before").await;
    let mut watch = cluster.watch("/", made).await.unwrap();
    let list = etcdctl(&cluster.members, &["member", "list"]).await;
    let first = list.lines().find(|line| line.contains(", m0,")).and_then(|line| line.split(',').next());
    etcdctl(&cluster.members, &["member", "remove", first.expect("m0 is a member")]).await;
    while let Err(error) = cluster.write(put("/after", "v", Expect::Absent)).await {
        // It went while it was spoken to.
        assert!(matches!(error, Error::Unknown(_)), "{error:?}");
        if cluster.get("/after", None).await.unwrap().is_some() {
            break;
        }
    }
    assert_eq!(keys(&events(&mut watch, 2).await), ["/before", "/after"]);
}

/// One member that can be set back to what it was.
struct Single {
    dir: tempfile::TempDir,
    members: Members,
}

impl Single {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let members = Members::start(dir.path(), 1, None, &[]);
        Self { dir, members }
    }

    async fn connect(&self) -> Etcd {
        let seen = Some(self.dir.path().join("seen"));
        Etcd::connect(Config { endpoints: self.members.urls(), tls: None, seen }).await.unwrap()
    }

    fn back_up(&mut self) {
        self.members.kill(0);
        copy(&self.dir.path().join("m0"), &self.dir.path().join("backup"));
        self.members.run(0);
    }

    fn restore(&mut self) {
        self.members.kill(0);
        std::fs::remove_dir_all(self.dir.path().join("m0")).unwrap();
        copy(&self.dir.path().join("backup"), &self.dir.path().join("m0"));
        self.members.run(0);
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// A store that has seen a write which the backup has not got, and its revision.
async fn ahead_of_its_backup(etcd: &mut Single) -> (Etcd, Revision) {
    let store = etcd.connect().await;
    create(&store, "/kept").await;
    etcd.back_up();
    // Reads are tried again on a new connection.
    assert!(store.get("/kept", None).await.unwrap().is_some());
    let lost = create(&store, "/lost").await;
    events(&mut store.watch("/lost", lost).await.unwrap(), 1).await;
    (store, lost)
}

/// Another store, which has come further than what was lost.
async fn further(etcd: &Single) -> Etcd {
    let store = connect(&etcd.members).await;
    for number in 0..5 {
        create(&store, &format!("/other-{number}")).await;
    }
    store
}

async fn why_condemned(store: &Etcd) -> String {
    let why = tokio::time::timeout(Duration::from_secs(20), store.condemned()).await.expect("it finds out");
    assert!(matches!(store.write(put("/x", "v", Expect::Absent)).await, Err(Error::Format(_))));
    assert!(matches!(store.get("/kept", None).await, Err(Error::Format(_))));
    why
}

#[tokio::test]
async fn an_etcd_restored_while_nobody_ran_goes_on_above_all_that_was_given() {
    let mut etcd = Single::start();
    let (store, lost) = ahead_of_its_backup(&mut etcd).await;
    drop(store);
    etcd.restore();
    let store = etcd.connect().await;
    assert!(store.get("/lost", None).await.unwrap().is_none() && store.get("/kept", None).await.unwrap().is_some());
    let next = create(&store, "/next").await;
    assert!(next > lost + 1_000_000, "{next} after {lost}");
    let told = store.watch("/", lost + 1).await.unwrap().recv().await;
    assert!(matches!(told, Some(Watched::Compacted(_))), "{told:?}");
    // Once is enough.
    drop(store);
    let again = etcd.connect().await;
    assert!(again.revision().await.unwrap() < next + 1_000_000);
}

#[tokio::test]
async fn an_etcd_restored_to_the_moment_before_a_process_was_killed_is_recognised() {
    let mut etcd = Single::start();
    let store = etcd.connect().await;
    create(&store, "/kept").await;
    etcd.back_up();
    assert!(store.get("/kept", None).await.unwrap().is_some());
    let lost = create(&store, "/lost").await;
    // Dropped before its watch may have told: nothing is written at the end that was not before.
    drop(store);
    etcd.restore();
    let next = create(&etcd.connect().await, "/next").await;
    assert!(next > lost + 1_000_000, "{next} after {lost}");
}

#[tokio::test]
async fn an_etcd_whose_past_is_another_is_recognised_even_if_it_has_come_further() {
    let mut etcd = Single::start();
    let (store, lost) = ahead_of_its_backup(&mut etcd).await;
    drop(store);
    etcd.restore();
    let other = further(&etcd).await;
    let store = etcd.connect().await;
    assert!(store.revision().await.unwrap() > lost + 1_000_000);
    // The revisions that the other one gives would be wrong from now on.
    assert!(why_condemned(&other).await.contains("revisions were lifted by a restore"));
}

#[tokio::test]
async fn who_runs_while_etcd_is_restored_and_written_to_by_others_finds_out() {
    let mut etcd = Single::start();
    let (store, _) = ahead_of_its_backup(&mut etcd).await;
    etcd.restore();
    further(&etcd).await;
    assert!(why_condemned(&store).await.contains("restored from an older backup"));
}
