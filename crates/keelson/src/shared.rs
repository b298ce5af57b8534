//! What all servers of a cluster have in common: its authority, the key of its tokens, the keys of its Secrets.
//!
//! They live in files of each data directory. On a shared datastore the first server also leaves them there, sealed
//! by the cluster's token; whoever knows the token takes them over from there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use auth::{lineage, pki};
use futures::future::BoxFuture;
use store::{Expect, KeyValue, Revision, Store, Watched, Write};
use tokio::sync::mpsc;

use crate::datastore;
use crate::paths::{Paths, TOKEN};

/// Where they lie in the datastore.
pub const KEY: &str = "/keelson/bootstrap";
/// What people type or paste should not be short enough to be guessed.
const TOKEN_MIN: usize = 16;
const RETRY: Duration = Duration::from_secs(5);

/// Contents by paths within the data directory.
pub type Files = BTreeMap<String, String>;

/// Brings the data directory and the datastore to the same files: those of the datastore, or where it has none
/// those that `make` makes in the data directory. Answers which write of the datastore they are.
pub async fn agree(
    store: &dyn Store,
    paths: &Paths,
    token: Option<&str>,
    make: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<Revision> {
    if let Some(held) = store.get(KEY, None).await? {
        return give_way(&held, paths, token);
    }
    if let Some(embedded) = datastore::embedded(paths) {
        bail!(
            "the datastore is empty, and there is an embedded one in {}: move it by `keelson datastore migrate`, or \
             start in another data directory",
            embedded.display()
        );
    }
    let token = chosen_token(paths, token)?;
    note_absent(paths)?;
    // Before there is anything that it alone opens.
    pki::write_private(&paths.token(), &token)?;
    make()?;
    match leave(store, paths, &token).await {
        Err(store::Error::Conflict(Some(held))) => give_way(&held, paths, Some(&token)),
        left => {
            let left = left.context("cannot leave the cluster's keys in the datastore")?;
            settle(paths)?;
            Ok(left)
        }
    }
}

/// Notes what the directory has not got, which is of use to nobody if another server is first: also to this one if it
/// is killed before it knows.
fn note_absent(paths: &Paths) -> anyhow::Result<()> {
    if paths.unshared().exists() {
        return Ok(());
    }
    let absent = paths.shared().into_iter().chain([TOKEN]).filter(|path| !paths.root().join(path).exists());
    let lines: String = absent.map(|path| format!("{path}\n")).collect();
    Ok(pki::write_private(&paths.unshared(), &lines)?)
}

/// Takes over what another server left, in the place of what was made here.
fn give_way(held: &KeyValue, paths: &Paths, token: Option<&str>) -> anyhow::Result<Revision> {
    let noted = std::fs::read_to_string(paths.unshared()).unwrap_or_default();
    if noted.is_empty() {
        return take_over(held, paths, token);
    }
    let (tokens, files): (Vec<&str>, Vec<&str>) = noted.lines().partition(|path| *path == TOKEN);
    let opens = |token: &String| open(held, token).is_ok();
    if !tokens.is_empty() && own_token(paths).filter(opens).is_none() {
        remove(&paths.token())?;
    }
    let token = token.map(str::to_owned).or_else(|| own_token(paths));
    if token.as_ref().is_some_and(opens) {
        files.iter().try_for_each(|path| remove(&paths.root().join(path)))?;
    }
    take_over(held, paths, token.as_deref())
}

/// What the directory has is its own from now on.
pub fn settle(paths: &Paths) -> std::io::Result<()> {
    remove(&paths.unshared())
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The token given, else that of the data directory, else a new one.
pub fn chosen_token(paths: &Paths, token: Option<&str>) -> anyhow::Result<String> {
    let token = token.map(str::to_owned).or_else(|| own_token(paths)).unwrap_or_else(new_token);
    if token.len() < TOKEN_MIN {
        bail!("--token is too short: it guards the cluster's keys, and must have {TOKEN_MIN} characters or more");
    }
    Ok(token)
}

/// Leaves the files of the data directory in the datastore, where there are none yet.
pub async fn leave(store: &dyn Store, paths: &Paths, token: &str) -> store::Result<Revision> {
    let files = read(paths).map_err(|error| store::Error::Io(format!("{error:#}")))?;
    write(store, &files, token, Expect::Absent).await
}

async fn write(store: &dyn Store, files: &Files, token: &str, expect: Expect) -> store::Result<Revision> {
    store.write(Write { key: KEY.into(), value: Some(seal(files, token).into()), expect }).await
}

/// Keeps the files the same on all servers while they rotate: what this one changes goes to the datastore, unless
/// another was faster. `agreed` is the write that both are. Runs until it is dropped, which is safe.
pub async fn follow(
    store: &dyn Store,
    paths: &Paths,
    mut agreed: Revision,
    mut changes: impl FnMut() -> BoxFuture<'static, ()>,
) {
    loop {
        if let Err(error) = exchange(store, paths, &mut agreed, &mut changes).await {
            tracing::warn!(error = format!("{error:#}"), "the cluster's keys are not exchanged with the datastore");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn exchange(
    store: &dyn Store,
    paths: &Paths,
    agreed: &mut Revision,
    changes: &mut impl FnMut() -> BoxFuture<'static, ()>,
) -> anyhow::Result<()> {
    let token = own_token(paths).context("the data directory has no token")?;
    loop {
        let changed = changes();
        let held = store.get(KEY, None).await?.context("the datastore has lost the cluster's keys")?;
        let mut watch = store.watch(KEY, held.mod_revision + 1).await?;
        if held.mod_revision != *agreed {
            *agreed = take_over(&held, paths, Some(&token))?;
        }
        let theirs = open(&held, &token)?;
        let mut own = theirs.clone();
        own.retain(|path, _| !rotates_by_itself(path));
        own.extend(read(paths)?.into_iter().filter(|(path, _)| rotates_by_itself(path)));
        if own != theirs {
            match write(store, &own, &token, Expect::ModRevision(*agreed)).await {
                Err(store::Error::Conflict(_)) => continue,
                written => *agreed = written?,
            }
        }
        tokio::select! {
            () = changed => {}
            // Whatever it says, what is held is read again.
            told = next_events(&mut watch) => told?,
        }
    }
}

async fn next_events(watch: &mut mpsc::Receiver<Watched>) -> anyhow::Result<()> {
    loop {
        match watch.recv().await {
            Some(Watched::Events(_) | Watched::Compacted(_)) => return Ok(()),
            Some(Watched::Progress(_)) => {}
            None => bail!("the watch of the datastore ended"),
        }
    }
}

/// Whether each server changes the file as authorities give way to others.
fn rotates_by_itself(path: &str) -> bool {
    path.starts_with("pki/")
}

/// What the datastore holds of files.
pub fn seal(files: &Files, token: &str) -> Vec<u8> {
    let files = serde_json::to_vec(files).expect("texts are JSON");
    encryption::passphrase::seal(token, KEY, &files)
}

pub fn open(held: &KeyValue, token: &str) -> anyhow::Result<Files> {
    let files = encryption::passphrase::open(token, KEY, &held.value);
    let files = files.context("the token is not that of the datastore's cluster")?;
    serde_json::from_slice(&files).context("the datastore's keys can not be read")
}

/// Makes the files of the data directory those of the datastore, which `held` is.
///
/// Files that differ are of an earlier time if the directory has been of this cluster, else of another cluster.
pub fn take_over(held: &KeyValue, paths: &Paths, token: Option<&str>) -> anyhow::Result<Revision> {
    let own = own_token(paths);
    let token = token.map(str::to_owned).or_else(|| own.clone());
    let token = token.with_context(|| {
        format!(
            "the datastore has a cluster already: join it by --token with the text in the file token of a data \
             directory of its servers ({} has none)",
            paths.root().display()
        )
    })?;
    let files = open(held, &token)?;
    let _lock = lineage::lock(&paths.pki())?;
    let own_text = |path: &str| std::fs::read_to_string(paths.root().join(path)).ok();
    // Of what rotated while this server was away something is as it was.
    let known = own.as_ref() == Some(&token) && files.iter().any(|(path, text)| own_text(path).as_ref() == Some(text));
    let mut others = Files::new();
    for (path, text) in files.clone() {
        let file = paths.root().join(&path);
        let rotates = rotates_by_itself(&path) || file == paths.encryption_keys();
        match own_text(&path) {
            Some(own) if own == text => {}
            Some(_) if known && rotates => drop(others.insert(path, text)),
            Some(_) => {
                bail!("{} is not that of the datastore's cluster: start in another data directory", file.display())
            }
            None => drop(others.insert(path, text)),
        }
    }
    for (path, text) in &others {
        pki::write_private(&paths.root().join(path), text)?;
    }
    // Successors that sign by now.
    for path in present(paths).iter().filter(|path| known && path.contains("-next.") && !files.contains_key(**path)) {
        std::fs::remove_file(paths.root().join(path))?;
    }
    pki::write_private(&paths.token(), &token)?;
    settle(paths)?;
    Ok(held.mod_revision)
}

pub fn own_token(paths: &Paths) -> Option<String> {
    let text = std::fs::read_to_string(paths.token()).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

/// The directory is that of an embedded datastore from now on.
pub fn forget_token(paths: &Paths) -> std::io::Result<()> {
    remove(&paths.token())
}

fn new_token() -> String {
    let mut bytes = [0; 32];
    clock::fill_random(&mut bytes);
    machinery::strconv::hex(&bytes)
}

fn present(paths: &Paths) -> Vec<&'static str> {
    paths.shared().into_iter().filter(|path| paths.root().join(path).exists()).collect()
}

/// The files as they are; keys of Secrets are missing where an administrator has configured others.
pub fn read(paths: &Paths) -> anyhow::Result<Files> {
    // Not in the middle of a step of their rotation.
    let _lock = lineage::lock(&paths.pki())?;
    let read = |path: &str| {
        let file = paths.root().join(path);
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok((path.to_owned(), text))
    };
    present(paths).into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::Memory;
    use store::testing::{Fault, Faulty};

    use super::*;

    struct Directory(tempfile::TempDir);

    impl Directory {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn paths(&self) -> Paths {
            Paths::open(self.0.path()).unwrap()
        }

        async fn agree(&self, store: &dyn Store, token: Option<&str>) -> Result<(), String> {
            let paths = self.paths();
            let make = || {
                for path in paths.shared().iter().filter(|path| !paths.root().join(path).exists()) {
                    pki::write_private(&paths.root().join(path), &clock::uuid())?;
                }
                Ok(())
            };
            agree(store, &paths, token, make).await.map(drop).map_err(|error| format!("{error:#}"))
        }

        fn files(&self) -> Files {
            read(&self.paths()).unwrap()
        }
    }

    #[tokio::test]
    async fn who_knows_the_token_takes_the_keys_over() {
        let (store, first, second) = (Memory::new(), Directory::new(), Directory::new());
        first.agree(&store, None).await.unwrap();
        let token = own_token(&first.paths()).unwrap();
        second.agree(&store, Some(&token)).await.unwrap();
        assert_eq!(first.files(), second.files());
        assert_eq!(second.files().len(), second.paths().shared().len());
        for again in [&first, &second] {
            again.agree(&store, None).await.unwrap();
        }
        assert_eq!(first.files(), second.files());
        let stored = store.get(KEY, None).await.unwrap().unwrap();
        let stored = String::from_utf8_lossy(&stored.value).into_owned();
        assert!(first.files().values().all(|secret| !stored.contains(secret)));
    }

    /// As a server that is killed before it has left its files in the datastore.
    async fn begin(directory: &Directory, token: Option<&str>) {
        let faulty = Faulty::new(Arc::new(Memory::new()));
        faulty.fail_after(0, Fault::Killed);
        directory.agree(&faulty, token).await.unwrap_err();
    }

    #[tokio::test]
    async fn who_was_killed_before_it_agreed_gives_way() {
        let (token, other) = ("0123456789abcdef", "fedcba9876543210");
        for (of_second, given) in [(None, token), (Some(token), token), (Some(other), token)] {
            let (store, first, second) = (Memory::new(), Directory::new(), Directory::new());
            begin(&second, of_second).await;
            first.agree(&store, Some(token)).await.unwrap();
            if of_second != Some(token) {
                let refused = second.agree(&store, None).await.unwrap_err();
                assert!(refused.contains("join it by --token"), "{refused}");
            }
            second.agree(&store, Some(given)).await.unwrap();
            assert_eq!(first.files(), second.files());
            second.agree(&store, None).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_an_embedded_datastore_uses_does_not_give_way() {
        let (store, first, second) = (Memory::new(), Directory::new(), Directory::new());
        begin(&second, None).await;
        let begun = second.files();
        first.agree(&store, None).await.unwrap();
        second.agree(&store, None).await.unwrap_err();
        assert_eq!(second.files(), begun, "nobody has shown that it may");
        settle(&second.paths()).unwrap();
        second.agree(&store, own_token(&first.paths()).as_deref()).await.unwrap_err();
        assert_eq!(second.files(), begun);
    }

    #[tokio::test]
    async fn who_was_killed_goes_on_with_what_it_began() {
        for fault in [Fault::Lost, Fault::Unanswered] {
            let (store, first, second) = (Arc::new(Memory::new()), Directory::new(), Directory::new());
            let faulty = Faulty::new(store.clone());
            faulty.fail_after(0, fault);
            first.agree(&faulty, None).await.unwrap_err();
            let begun = first.files();
            first.agree(&*store, None).await.unwrap();
            assert_eq!(first.files(), begun);
            second.agree(&*store, own_token(&first.paths()).as_deref()).await.unwrap();
            assert_eq!(second.files(), begun);
        }
    }

    #[tokio::test]
    async fn strangers_are_refused() {
        let (store, first) = (Memory::new(), Directory::new());
        first.agree(&store, Some("0123456789abcdef")).await.unwrap();
        let refused = Directory::new().agree(&store, None).await.unwrap_err();
        assert!(refused.contains("join it by --token"), "{refused}");
        let refused = Directory::new().agree(&store, Some("0123456789abcdeF")).await.unwrap_err();
        assert_eq!(refused, "the token is not that of the datastore's cluster");
        let other = Directory::new();
        other.agree(&Memory::new(), Some("0123456789abcdef")).await.unwrap();
        let refused = other.agree(&store, None).await.unwrap_err();
        assert!(refused.contains("is not that of the datastore's cluster: start in another"), "{refused}");
        let short = Directory::new().agree(&Memory::new(), Some("short")).await.unwrap_err();
        assert!(short.contains("too short"), "{short}");
    }

    #[tokio::test]
    async fn an_embedded_store_is_not_left_behind_unseen() {
        let (store, directory) = (Memory::new(), Directory::new());
        std::fs::create_dir(directory.paths().store()).unwrap();
        std::fs::write(directory.paths().store().join("state.db"), "").unwrap();
        let refused = directory.agree(&store, None).await.unwrap_err();
        assert!(refused.contains("keelson datastore migrate"), "{refused}");
    }
}
