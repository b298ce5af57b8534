//! `keelson datastore migrate`: from the embedded datastore to an etcd, or back; also from an etcd that
//! kube-apiservers filled, whose keys and values are understood as they are.
//!
//! Revisions go on above those that were given. A mark in the target tells a migration that was cut off from a
//! datastore that something else is in; the source is left as it was until the target is whole.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use store::{Expect, Sqlite, Store, Write, prefix_range, snapshot};

use crate::paths::Paths;
use crate::{datastore, flags, shared};

const EMBEDDED: &str = "embedded";
/// In a datastore that is being filled.
const MARK: &str = "/keelson/migrating";

/// What kube-apiservers note for each other, and what they make of the Services.
const UPSTREAMS_OWN: [&str; 3] = ["/registry/masterleases/", "/registry/peerserverleases/", "/registry/ranges/"];

type Entries = BTreeMap<String, Bytes>;

pub async fn run(flags: flags::DatastoreAdmin) -> anyhow::Result<()> {
    let flags::DatastoreCommand::Migrate(flags) = flags.command;
    let paths = Paths::open(&flags.data.data_dir)?;
    match (is_embedded(&flags.from), is_embedded(&flags.to)) {
        (true, false) => to_etcd(&flags, &paths).await,
        (false, true) => to_embedded(&flags, &paths).await,
        _ => bail!("one of --from and --to must be `{EMBEDDED}`, the other the URLs of an etcd"),
    }
}

fn is_embedded(datastore: &[String]) -> bool {
    datastore == [EMBEDDED]
}

async fn to_etcd(flags: &flags::Migrate, paths: &Paths) -> anyhow::Result<()> {
    let file = datastore::embedded(paths);
    let file = file.with_context(|| format!("{} has no embedded datastore", paths.root().display()))?;
    let token = shared::chosen_token(paths, flags.token.as_deref())?;
    let source = Sqlite::open(&paths.store()).context("stop the server first")?;
    let target = datastore::connect(&flags.to, &flags.tls).await?;
    let moved = copy(&source, &target).await?;
    shared::leave(&target, paths, &token).await.context("cannot leave the cluster's keys in the etcd")?;
    auth::pki::write_private(&paths.token(), &token)?;
    unmark(&target).await?;
    drop(source);
    // A server that is started as before must not find what is out of date from now on.
    set_aside(&file)?;
    println!("{moved} objects are in the etcd, the embedded datastore is set aside; start servers with --datastore");
    Ok(())
}

async fn to_embedded(flags: &flags::Migrate, paths: &Paths) -> anyhow::Result<()> {
    let source = datastore::connect(&flags.from, &flags.tls).await?;
    datastore::refuse_running(&source).await?;
    let keys = source.get(shared::KEY, None).await?;
    match &keys {
        Some(keys) => shared::take_over(keys, paths, flags.token.as_deref()).map(drop)?,
        None => refuse_upstream(&source).await?,
    }
    let target = Sqlite::open(&paths.store()).context("stop the server first")?;
    let moved = copy(&source, &target).await?;
    if keys.is_some() {
        // The files are the keys again.
        std::fs::remove_file(paths.token()).context("cannot remove the token of the shared datastore")?;
        datastore::forget(paths)?;
    }
    unmark(&target).await?;
    println!("{moved} objects are in {}; start one server, without --datastore", paths.store().display());
    Ok(())
}

/// Sees that what no server of keelson wrote was written by kube-apiservers, none of which runs. Their authority is in
/// files of theirs: the cluster gets a new one.
async fn refuse_upstream(source: &dyn Store) -> anyhow::Result<()> {
    if source.range(prefix_range("/registry/"), 1, None).await?.items.is_empty() {
        bail!("the etcd holds no cluster: there is nothing below /registry/");
    }
    // Each server renews its own, which etcd drops soon after.
    let servers = source.range(prefix_range("/registry/masterleases/"), 0, None).await?.items;
    let servers: Vec<&str> = servers.iter().filter_map(|lease| lease.key.rsplit('/').next()).collect();
    if !servers.is_empty() {
        bail!("stop the kube-apiservers of this etcd first, and wait 15 seconds: {}", servers.join(", "));
    }
    Ok(())
}

/// Fills the target; answers how many objects it has now. The mark stays.
async fn copy(source: &dyn Store, target: &dyn Store) -> anyhow::Result<usize> {
    let mark = Bytes::from_static(b"from another datastore");
    match target.get(MARK, None).await? {
        Some(_) => {}
        None if target.range(prefix_range("/"), 1, None).await?.items.is_empty() => {
            let write = Write { key: MARK.into(), value: Some(mark.clone()), expect: Expect::Absent };
            target.write(write).await?;
        }
        None => bail!("there is something in the datastore to migrate to: it must be empty"),
    }
    let page = source.range(prefix_range("/"), 0, None).await?;
    target.lift(page.revision).await?;
    let left = |key: &str| key == shared::KEY || UPSTREAMS_OWN.iter().any(|prefix| key.starts_with(prefix));
    let items = page.items.into_iter().filter(|item| !left(&item.key));
    let mut entries: Entries = items.map(|item| (item.key.into(), item.value)).collect();
    let moved = entries.len();
    entries.insert(MARK.to_owned(), mark);
    snapshot::replace(target, entries).await.context("the migration stopped half-way; it can be begun again")?;
    Ok(moved)
}

async fn unmark(target: &dyn Store) -> anyhow::Result<()> {
    let mark = target.get(MARK, None).await?.context("somebody else writes to the datastore")?;
    target.write(Write { key: MARK.into(), value: None, expect: Expect::ModRevision(mark.mod_revision) }).await?;
    Ok(())
}

fn set_aside(file: &Path) -> anyhow::Result<()> {
    for end in ["", "-wal", "-shm"] {
        let from = format!("{}{end}", file.display());
        if Path::new(&from).exists() {
            std::fs::rename(&from, format!("{}.migrated{end}", file.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use store::Memory;

    use super::*;

    async fn put(store: &Memory, key: &str) {
        let value = Some(Bytes::from_static(b"v"));
        store.write(Write { key: key.into(), value, expect: Expect::Absent }).await.unwrap();
    }

    async fn keys(store: &Memory) -> Vec<String> {
        let items = store.range(prefix_range("/"), 0, None).await.unwrap().items;
        items.into_iter().map(|item| item.key.into()).collect()
    }

    #[tokio::test]
    async fn all_but_the_sealed_keys_is_copied_and_revisions_go_on() {
        let (source, target) = (Memory::new(), Memory::new());
        for key in ["/registry/a", "/keelson/nodeports/30000", "/registry/ranges/serviceips", shared::KEY] {
            put(&source, key).await;
        }
        assert_eq!(copy(&source, &target).await.unwrap(), 2);
        assert!(target.revision().await.unwrap() > source.revision().await.unwrap());
        // Cut off here, it is begun again.
        put(&source, "/registry/b").await;
        assert_eq!(copy(&source, &target).await.unwrap(), 3);
        unmark(&target).await.unwrap();
        assert_eq!(keys(&target).await, ["/keelson/nodeports/30000", "/registry/a", "/registry/b"]);
        let refused = copy(&source, &target).await.unwrap_err();
        assert!(refused.to_string().contains("must be empty"), "{refused}");
    }
}
