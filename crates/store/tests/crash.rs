//! Kills a process that writes, again and again: what it was told is written must be there afterwards.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use store::{Expect, Revision, Sqlite, Store, Write};

/// Names the directory to write to; set only for the process that is to be killed.
const CHILD: &str = "STORE_CRASH_CHILD";
const ROUNDS: usize = 50;
const WRITERS: usize = 16;
/// How long a child may write after its first acknowledgement.
const WRITING: Duration = Duration::from_millis(30);

#[test]
fn acknowledged_writes_survive_kill_9() {
    if let Ok(dir) = std::env::var(CHILD) {
        return write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let written = acknowledged_by_a_killed_writer(dir.path());
        assert!(!written.is_empty(), "round {round} wrote nothing");
        acknowledged.extend(written);
        verify(dir.path(), &acknowledged);
    }
    println!("{} acknowledged writes over {ROUNDS} kills, none lost", acknowledged.len());
}

/// The keys and revisions that a child reported before it was killed.
fn acknowledged_by_a_killed_writer(dir: &Path) -> Vec<(String, Revision)> {
    let mut child = spawn_child(dir);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut reported = String::new();
    while !reported.contains("ack ") {
        assert!(output.read_line(&mut reported).unwrap() > 0, "the child ended by itself: {reported}");
    }
    std::thread::park_timeout(WRITING);
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut reported).unwrap();
    reported.lines().filter_map(acknowledgement).collect()
}

fn spawn_child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "acknowledged_writes_survive_kill_9", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// `ack KEY REVISION;`; a line that the kill cut short lacks its end.
fn acknowledgement(line: &str) -> Option<(String, Revision)> {
    let (_, rest) = line.split_once("ack ")?;
    let (key, revision) = rest.strip_suffix(';')?.split_once(' ')?;
    Some((key.to_owned(), revision.parse().ok()?))
}

fn verify(dir: &Path, acknowledged: &[(String, Revision)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Sqlite::open(dir).unwrap();
        let page = store.range(store::prefix_range("/"), 0, None).await.unwrap();
        let found: std::collections::HashMap<&str, Revision> =
            page.items.iter().map(|item| (&*item.key, item.mod_revision)).collect();
        for (key, revision) in acknowledged {
            assert_eq!(found.get(key.as_str()), Some(revision), "{key} was acknowledged");
        }
    });
}

fn write_until_killed(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let store = Arc::new(Sqlite::open(dir).unwrap());
    let writers = (0..WRITERS).map(|writer| runtime.spawn(write_forever(store.clone(), writer)));
    for writer in writers.collect::<Vec<_>>() {
        runtime.block_on(writer).unwrap();
    }
}

async fn write_forever(store: Arc<Sqlite>, writer: usize) {
    let begun = store.revision().await.unwrap();
    for number in 0.. {
        let key = format!("/{begun}/{writer}/{number}");
        let value = vec![b'v'; 500 + 37 * writer].into();
        let write = Write { key: key.as_str().into(), value: Some(value), expect: Expect::Absent };
        let revision = store.write(write).await.unwrap();
        std::io::stdout().write_all(format!("ack {key} {revision};\n").as_bytes()).unwrap();
    }
}
