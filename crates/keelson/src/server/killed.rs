//! A first start that is killed between any two writes to the store leaves nothing that keeps the next one from
//! working.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use registry::testing::{Shown, check_same, shown};
use store::testing::{Fault, Faulty};
use store::{Memory, Store};
use tempfile::TempDir;

use super::*;
use crate::flags::{Command, Flags};

/// What a server does by itself at its first start is done after this.
const SETTLED: Duration = Duration::from_secs(1);
/// More than enough to write a new cluster bit by bit.
const LIVES_MAX: usize = 200;
/// Those of a server that says that it is there and leaves what others need, and one more.
const WRITES_AGREED: usize = 3;
/// Keys of what each server says of itself, or of the time.
const PASSING: [&str; 3] = ["/registry/leases/", "/keelson/servers/", "/keelson/time"];

fn flags(line: &str) -> Arc<flags::Server> {
    let words = format!("keelson server --no-agent {line}");
    let flags = Flags::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
    let Command::Server(server) = flags.command else { panic!("another command") };
    Arc::new(*server)
}

/// A server's first moments, without its loops and its node.
async fn start(line: &str, directory: &TempDir, store: Arc<dyn Store>) -> anyhow::Result<()> {
    let (flags, paths) = (flags(line), Paths::open(directory.path())?);
    let (datastore, place) = (Datastore::of(store), ("192.0.2.1".parse()?, 6443));
    let ends = CancellationToken::new();
    let mut running = api::start(&flags, datastore, admission(&flags)?, &paths, "n1", place, ends).await?;
    tell_authorities(&mut running, &flags).await?;
    tokio::time::sleep(SETTLED).await;
    Ok(())
}

/// What does not change from start to start.
async fn lasting(store: &dyn Store) -> Shown {
    let mut shown = shown(store).await;
    shown.retain(|key, _| !PASSING.iter().any(|passing| key.starts_with(passing)));
    // Each start has authorities of its own.
    let authorities = |text: &mut String| {
        while let Some((before, rest)) = text.split_once("-----BEGIN") {
            let after = rest.split_once("-----END CERTIFICATE-----").expect("PEM has an end").1;
            *text = format!("{before}{after}");
        }
    };
    shown.values_mut().for_each(authorities);
    shown
}

/// A start that is killed after so many writes; whether it wrote as much.
async fn is_killed(line: &str, directory: &TempDir, store: &Arc<Memory>, writes: usize) -> bool {
    let faulty = Arc::new(Faulty::new(store.clone()));
    faulty.fail_after(writes, Fault::Killed);
    tokio::select! {
        biased;
        () = faulty.killed() => {}
        started = start(line, directory, faulty.clone()) => assert!(started.is_ok() || faulty.has_failed(), "{started:?}"),
    }
    faulty.has_failed()
}

async fn undisturbed(line: &str) -> Shown {
    let store = Arc::new(Memory::new());
    start(line, &tempfile::tempdir().unwrap(), store.clone()).await.unwrap();
    lasting(&*store).await
}

#[tokio::test(start_paused = true)]
async fn a_first_start_that_is_killed_again_and_again_comes_to_its_end() {
    let _time = clock::simulate(1);
    let (store, directory) = (Arc::new(Memory::new()), tempfile::tempdir().unwrap());
    let mut lives = 0;
    // Those that come later get further.
    while is_killed("", &directory, &store, 1 + lives / 8).await {
        lives += 1;
        assert!(lives < LIVES_MAX);
    }
    check_same(&lasting(&*store).await, &undisturbed("").await, "at the end");
}

#[tokio::test(start_paused = true)]
async fn what_servers_share_is_agreed_on_after_one_was_killed() {
    let _time = clock::simulate(1);
    let line = "--datastore http://etcd.test:2379";
    let undisturbed = undisturbed(line).await;
    for writes in 0..WRITES_AGREED {
        let (store, directory) = (Arc::new(Memory::new()), tempfile::tempdir().unwrap());
        assert!(is_killed(line, &directory, &store, writes).await);
        let after = format!("after {writes} writes");
        start(line, &directory, store.clone()).await.unwrap_or_else(|error| panic!("{after}: {error:#}"));
        check_same(&lasting(&*store).await, &undisturbed, &after);
    }
}
