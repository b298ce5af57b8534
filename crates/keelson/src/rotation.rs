//! The keys of Secrets that servers of one datastore have in common: what each of them has in force, and how a new one
//! comes into force without a moment in which one server reads what only another can open.
//!
//! The datastore holds the keys ([`shared`]). A server takes over what they become, and says so; whoever rotates them takes
//! no step before all servers have taken the one before.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use encryption::keys::{self, Keys, Phase};
use encryption::{Encryption, Source};
use jiff::Timestamp;
use registry::Registry;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use store::{Expect, KeyValue, Store, Watched, Write, prefix_range};

use crate::paths::Paths;
use crate::{datastore, shared};

/// What each server has in force, by its name.
const SERVERS: &str = "/keelson/servers/";
/// The keys among the files that servers share.
const FILE: &str = "encryption.keys";
/// How long a server counts that has not got its Lease yet.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// How long what a server said is kept after it was heard of last.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long servers are waited for.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Serialize, Deserialize)]
struct Report {
    /// Digest of the keys in force; empty while the server starts.
    keys: String,
    since: Timestamp,
}

/// Says that a server starts, before it reads the keys: who rotates them waits for it from then on.
pub async fn announce(store: &dyn Store, host: &str) -> anyhow::Result<()> {
    report(store, host, String::new()).await
}

async fn report(store: &dyn Store, host: &str, keys: String) -> anyhow::Result<()> {
    let key = format!("{SERVERS}{host}");
    let value = serde_json::to_vec(&Report { keys, since: clock::now() })?;
    let held = store.get(&key, None).await?;
    let expect = held.map_or(Expect::Absent, |held| Expect::ModRevision(held.mod_revision));
    store.write(Write { key: key.into(), value: Some(value.into()), expect }).await?;
    Ok(())
}

/// Removes what servers said that are gone for long. They would say it anew if they came back.
async fn forget_gone(store: &dyn Store) -> anyhow::Result<()> {
    let live = datastore::current_servers(store).await?;
    for entry in store.range(prefix_range(SERVERS), 0, None).await?.items {
        let host = &entry.key[SERVERS.len()..];
        let is_old = serde_json::from_slice::<Report>(&entry.value).is_ok_and(|of| clock::since(of.since) > KEPT_FOR);
        if is_old && !live.iter().any(|server| server == host) {
            let expect = Expect::ModRevision(entry.mod_revision);
            match store.write(Write { key: entry.key, value: None, expect }).await {
                // Somebody else did, or it is back.
                Ok(_) | Err(store::Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

fn digest(keys: &Keys) -> String {
    machinery::strconv::hex(&sha2::Sha256::digest(keys.text()))
}

/// The keys in the datastore, with what is around them.
struct Held {
    keys: Keys,
    files: shared::Files,
    entry: KeyValue,
}

impl Held {
    async fn read(store: &dyn Store, token: &str) -> anyhow::Result<Self> {
        let entry = store.get(shared::KEY, None).await?.context("the datastore holds no cluster of keelson")?;
        let files = shared::open(&entry, token)?;
        let keys = files.get(FILE).context("the servers' keys are those of an --encryption-provider-config")?;
        Ok(Self { keys: Keys::parse(keys)?, files, entry })
    }

    /// Writes the keys back. Whoever was faster has to be looked at again.
    async fn write(mut self, store: &dyn Store, token: &str) -> anyhow::Result<()> {
        self.files.insert(FILE.to_owned(), self.keys.text());
        let sealed = shared::seal(&self.files, token);
        let expect = Expect::ModRevision(self.entry.mod_revision);
        match store.write(Write { key: self.entry.key, value: Some(sealed.into()), expect }).await {
            Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes a new key and brings all servers and values to it. Safe to repeat, and to cut off at any point: what was begun is
/// gone on with.
pub async fn rotate(store: &dyn Store, paths: &Paths, token: &str) -> anyhow::Result<()> {
    let mut begun = false;
    loop {
        let mut held = Held::read(store, token).await?;
        all_have(store, &held.keys).await?;
        match held.keys.phase() {
            Phase::Settled if begun => return Ok(()),
            Phase::Settled => held.keys.add(),
            Phase::Known => held.keys.promote(),
            Phase::Writes => {
                let file = paths.encryption_keys();
                keys::take_over(&file, &held.keys)?;
                let encryption = Encryption::open(Source::OwnKeys(file))?;
                let anew = registry::store_outdated_anew(store, &encryption, kinds::known()).await;
                anew.map_err(anyhow::Error::msg)?;
                held.keys.retire(store.revision().await?);
            }
        }
        begun = true;
        held.write(store, token).await?;
    }
}

/// Waits until all servers that live have these keys in force.
async fn all_have(store: &dyn Store, keys: &Keys) -> anyhow::Result<()> {
    let (digest, started) = (digest(keys), clock::monotonic());
    loop {
        let behind = behind(store, &digest).await?;
        if behind.is_empty() {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            bail!(
                "servers have not taken over the keys in {PATIENCE:?}: {}; repeat this when they run",
                behind.join(", ")
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn behind(store: &dyn Store, digest: &str) -> anyhow::Result<Vec<String>> {
    let mut live = datastore::current_servers(store).await?;
    let reports = store.range(prefix_range(SERVERS), 0, None).await?.items;
    for entry in reports {
        let (host, report) = (&entry.key[SERVERS.len()..], serde_json::from_slice::<Report>(&entry.value)?);
        let starts = clock::since(report.since) < STARTS_WITHIN && report.keys.is_empty();
        if starts {
            live.push(host.to_owned());
        }
        if report.keys == digest {
            live.retain(|server| server != host);
        }
    }
    live.sort_unstable();
    live.dedup();
    Ok(live)
}

/// What a server needs to keep up.
pub struct Follower {
    pub store: Arc<dyn Store>,
    pub registry: Registry,
    pub encryption: Arc<Encryption>,
    pub paths: Paths,
    pub token: String,
    pub host: String,
}

impl Follower {
    /// Takes over what the keys in the datastore become. Ends only when it is dropped, which is safe.
    pub async fn run(self) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::warn!(error = format!("{error:#}"), "the keys of Secrets can not be followed");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn follow(&self) -> anyhow::Result<()> {
        let store = &*self.store;
        // First, so that no change is missed.
        let mut watch = store.watch(shared::KEY, store.revision().await? + 1).await?;
        loop {
            let mut held = Held::read(store, &self.token).await?;
            keys::take_over(&self.paths.encryption_keys(), &held.keys)?;
            self.encryption.renew().await?;
            report(store, &self.host, digest(&held.keys)).await?;
            forget_gone(store).await?;
            let changed = async {
                loop {
                    match watch.recv().await {
                        Some(Watched::Events(_)) => return true,
                        Some(Watched::Progress(_)) => {}
                        Some(Watched::Compacted(_)) | None => return false,
                    }
                }
            };
            tokio::select! {
                more = changed => if !more { return Ok(()) },
                revision = self.forgotten(&held.keys) => {
                    held.keys.forget(revision);
                    held.write(store, &self.token).await?;
                }
            }
        }
    }

    /// Waits until no retired key is needed for the past. Forever if there is none.
    async fn forgotten(&self, keys: &Keys) -> u64 {
        let Some(revision) = keys.retired() else { return std::future::pending().await };
        self.registry.forgotten(revision).await;
        revision
    }
}

#[cfg(test)]
mod tests {
    use store::Memory;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn servers_that_start_or_have_other_keys_are_waited_for() {
        let _time = clock::simulate(1);
        let store = Memory::new();
        let keys = Keys::parse("key1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
        let (digest, none) = (digest(&keys), Vec::<String>::new());
        announce(&store, "a").await.unwrap();
        assert_eq!(behind(&store, &digest).await.unwrap(), ["a"]);
        report(&store, "a", digest.clone()).await.unwrap();
        assert_eq!(behind(&store, &digest).await.unwrap(), none);
        assert_eq!(behind(&store, "other").await.unwrap(), none, "without a Lease it is gone");
        let lease = serde_json::json!({
            "metadata": {"labels": {"kubernetes.io/hostname": "a"}},
            "spec": {"leaseDurationSeconds": 6, "renewTime": clock::format_micro_time(clock::now())},
        });
        let write = Write {
            key: "/registry/leases/kube-system/apiserver-a".into(),
            value: Some(lease.to_string().into()),
            expect: Expect::Absent,
        };
        store.write(write).await.unwrap();
        assert_eq!(behind(&store, "other").await.unwrap(), ["a"]);
        announce(&store, "b").await.unwrap();
        assert_eq!(behind(&store, &digest).await.unwrap(), ["b"]);
        tokio::time::sleep(STARTS_WITHIN).await;
        assert_eq!(behind(&store, &digest).await.unwrap(), none);
    }

    #[tokio::test(start_paused = true)]
    async fn what_servers_said_that_are_gone_for_long_is_forgotten() {
        let _time = clock::simulate(1);
        let store = Memory::new();
        let known = async || store.range(prefix_range(SERVERS), 0, None).await.unwrap().items.len();
        announce(&store, "gone").await.unwrap();
        announce(&store, "lives").await.unwrap();
        forget_gone(&store).await.unwrap();
        assert_eq!(known().await, 2, "they may come back");
        tokio::time::sleep(KEPT_FOR + Duration::from_secs(1)).await;
        let lease = serde_json::json!({
            "metadata": {"labels": {"kubernetes.io/hostname": "lives"}},
            "spec": {"leaseDurationSeconds": 6, "renewTime": clock::format_micro_time(clock::now())},
        });
        let key = "/registry/leases/kube-system/apiserver-lives".into();
        let write = Write { key, value: Some(lease.to_string().into()), expect: Expect::Absent };
        store.write(write).await.unwrap();
        forget_gone(&store).await.unwrap();
        let left = store.range(prefix_range(SERVERS), 0, None).await.unwrap().items;
        assert_eq!(left.iter().map(|entry| &*entry.key).collect::<Vec<_>>(), [format!("{SERVERS}lives")]);
    }
}
