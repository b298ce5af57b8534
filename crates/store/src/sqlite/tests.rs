use super::*;
use crate::{Expect, prefix_range};

/// A store whose directory goes when it does.
struct Temporary {
    store: Sqlite,
    _dir: tempfile::TempDir,
}

impl std::ops::Deref for Temporary {
    type Target = Sqlite;

    fn deref(&self) -> &Sqlite {
        &self.store
    }
}

crate::contract_tests!(async || {
    let dir = tempfile::tempdir().unwrap();
    Temporary { store: Sqlite::open(dir.path()).unwrap(), _dir: dir }
});

fn put(key: &str, value: Vec<u8>, expect: Expect) -> Write {
    Write { key: key.into(), value: Some(value.into()), expect }
}

#[tokio::test]
async fn everything_is_there_after_closing_and_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path()).unwrap();
    let made = store.write(put("/a", b"1".to_vec(), Expect::Absent)).await.unwrap();
    let changed = store.write(put("/a", b"2".to_vec(), Expect::ModRevision(made))).await.unwrap();
    drop(store);
    let store = Sqlite::open(dir.path()).unwrap();
    assert_eq!(store.revision().await.unwrap(), changed);
    assert_eq!(store.get("/a", Some(made)).await.unwrap().unwrap().value, "1");
    assert_eq!(store.get("/a", None).await.unwrap().unwrap().value, "2");
}

#[tokio::test]
async fn a_directory_has_one_server_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = Sqlite::open(dir.path()).unwrap();
    let refusal = Sqlite::open(dir.path()).err().expect("the directory is taken").to_string();
    let expected = format!("data directory {} is in use by process {}", dir.path().display(), std::process::id());
    assert!(refusal.starts_with(&expected), "{refusal}");
    drop(first);
    Sqlite::open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_newer_format_and_a_strange_file_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(Sqlite::open(dir.path()).unwrap());
    let connection = Connection::open(dir.path().join("state.db")).unwrap();
    connection.execute("UPDATE meta SET value = 3 WHERE name = 'format'", []).unwrap();
    drop(connection);
    let refusal = Sqlite::open(dir.path()).err().expect("the format is newer");
    assert!(matches!(&refusal, Error::Format(why) if why.contains(&dir.path().display().to_string())), "{refusal}");

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("state.db"), vec![b'x'; 8192]).unwrap();
    let refusal = Sqlite::open(dir.path()).err().expect("it is no store");
    assert!(matches!(&refusal, Error::Format(why) if why.contains("state.db")), "{refusal}");
}

/// Overwrites a few keys thousands of times, compacting on the way as a server does.
#[tokio::test]
async fn compaction_keeps_the_file_small() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path()).unwrap();
    let mut last = vec![0; 20];
    for round in 0..200 {
        let writes = last.iter().enumerate().map(|(at, revision)| {
            let expect = if *revision == 0 { Expect::Absent } else { Expect::ModRevision(*revision) };
            store.write(put(&format!("/{at}"), vec![b'v'; 2000], expect))
        });
        let written = futures::future::join_all(writes).await;
        last = written.into_iter().collect::<Result<_>>().unwrap();
        if round % 10 == 0 {
            store.compact(last[0].saturating_sub(100)).await.unwrap();
        }
    }
    let page = store.range(prefix_range("/"), 0, None).await.unwrap();
    assert_eq!(page.items.len(), 20);
    drop(store);
    let size = std::fs::metadata(dir.path().join("state.db")).unwrap().len();
    assert!(size < 4_000_000, "8 MB were written, {size} bytes remain");
}

#[tokio::test]
async fn the_file_shrinks_when_most_of_it_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path()).unwrap();
    let size = || std::fs::metadata(dir.path().join("state.db")).unwrap().len();
    let mut last = 0;
    for number in 0..400 {
        let key = format!("/{number}");
        let made = store.write(put(&key, vec![b'v'; 100_000], Expect::Absent)).await.unwrap();
        let gone = Write { key: key.as_str().into(), value: None, expect: Expect::ModRevision(made) };
        last = store.write(gone).await.unwrap();
    }
    store.compact(last).await.unwrap();
    let mut rounds = 0;
    while size() > 20_000_000 {
        rounds += 1;
        assert!(rounds < 1000, "{} bytes remain", size());
        store.write(put(&format!("/round/{rounds}"), vec![], Expect::Absent)).await.unwrap();
    }
}

#[tokio::test]
async fn compaction_that_was_cut_short_goes_on_after_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path()).unwrap();
    let mut last = store.write(put("/a", vec![], Expect::Absent)).await.unwrap();
    for _ in 0..1000 {
        last = store.write(put("/a", vec![], Expect::ModRevision(last))).await.unwrap();
    }
    store.compact(last).await.unwrap();
    drop(store);
    let store = Sqlite::open(dir.path()).unwrap();
    assert!(matches!(store.get("/a", Some(last - 1)).await, Err(Error::Compacted(_))));
    let rows = || {
        let connection = Connection::open(dir.path().join("state.db")).unwrap();
        connection.query_row("SELECT COUNT(*) FROM history", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    while rows() > 2 {
        last = store.write(put("/a", vec![], Expect::ModRevision(last))).await.unwrap();
        store.compact(last).await.unwrap();
    }
}

/// Mounts a disk of 4 MiB, fills it, and makes room again.
#[tokio::test]
async fn a_full_disk_refuses_writes_and_loses_nothing() {
    let disk = Disk::mount();
    let store = Sqlite::open(&disk.path().join("data")).unwrap();
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 2_300_000]).unwrap();
    let mut kept = Vec::new();
    let refusal = loop {
        let key = format!("/{}", kept.len());
        match store.write(put(&key, vec![b'v'; 10_000], Expect::Absent)).await {
            Ok(_) => kept.push(key),
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, Error::Full(_)), "{refusal}");
    assert!(!kept.is_empty());
    for key in &kept {
        assert!(store.get(key, None).await.unwrap().is_some(), "{key} reads on a full disk");
    }
    std::fs::remove_file(&ballast).unwrap();
    store.write(put("/after", vec![b'v'; 10_000], Expect::Absent)).await.unwrap();
    drop(store);
    let store = Sqlite::open(&disk.path().join("data")).unwrap();
    assert_eq!(store.range(prefix_range("/"), 0, None).await.unwrap().items.len(), kept.len() + 1);
}

struct Disk(tempfile::TempDir);

impl Disk {
    fn mount() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(disk.path())
            .status();
        assert!(mounted.unwrap().success());
        disk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the test's disk stays mounted");
    }
}

#[test]
fn reads_walk_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let connection = file::open_writer(dir.path(), &dir.path().join("state.db")).unwrap();
    let plan = read::range_plan(&connection).unwrap().join("\n");
    assert!(plan.contains("COVERING INDEX history_by_key") && !plan.contains("TEMP B-TREE"), "{plan}");
}
