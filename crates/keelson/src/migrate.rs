//! `keelson datastore migrate`: from the embedded datastore to an etcd, or back; also from an etcd that
//! kube-apiservers filled, whose keys and values are understood as they are.
//!
//! Revisions go on above those that were given. A mark in the target tells a migration that was cut off from a
//! datastore that something else is in, and keeps servers away; the source is left as it was until the target is whole.
//! A migration may be cut off at any point, and is gone on with when it is begun again.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use store::{Revision, Sqlite, Store, prefix_range, snapshot};

use crate::datastore::{BEGUN, MARK};
use crate::paths::Paths;
use crate::{datastore, flags, shared};

const EMBEDDED: &str = "embedded";
/// What the mark says before the revision of the source that everything is there of.
const WHOLE: &str = "whole ";

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
    let Some(file) = datastore::embedded(paths) else { return finish(flags, paths).await };
    let token = shared::chosen_token(paths, flags.token.as_deref())?;
    let source = Sqlite::open(&paths.store()).context("stop the server first")?;
    datastore::refuse_unfinished(&source).await?;
    let target = datastore::connect(&flags.to, &flags.tls).await?;
    let moved = copy(&source, &target).await?;
    shared::leave(&target, paths, &token).await.context("cannot leave the cluster's keys in the etcd")?;
    auth::pki::write_private(&paths.token(), &token)?;
    mark_whole(&source, &target).await?;
    drop(source);
    // A server that is started as before must not find what is out of date from now on.
    set_aside(&file)?;
    datastore::unmark(&target).await?;
    println!("{moved} objects are in the etcd, the embedded datastore is set aside; start servers with --datastore");
    Ok(())
}

/// The embedded datastore was set aside before, or never was.
async fn finish(flags: &flags::Migrate, paths: &Paths) -> anyhow::Result<()> {
    let target = datastore::connect(&flags.to, &flags.tls).await?;
    let keys = target.get(shared::KEY, None).await?;
    let own = keys.zip(shared::own_token(paths)).is_some_and(|(keys, token)| shared::open(&keys, &token).is_ok());
    if !own || whole(&target).await?.is_none() {
        bail!("{} has no embedded datastore", paths.root().display());
    }
    datastore::unmark(&target).await?;
    println!("everything is in the etcd; start servers with --datastore");
    Ok(())
}

async fn to_embedded(flags: &flags::Migrate, paths: &Paths) -> anyhow::Result<()> {
    let source = datastore::connect(&flags.from, &flags.tls).await?;
    datastore::refuse_running(&source).await?;
    bring(&source, paths, flags.token.as_deref()).await?;
    println!("everything is in {}; start one server, without --datastore", paths.store().display());
    Ok(())
}

async fn bring(source: &dyn Store, paths: &Paths, token: Option<&str>) -> anyhow::Result<()> {
    datastore::refuse_unfinished(source).await?;
    let open = || Sqlite::open(&paths.store()).context("stop the server first");
    let begun = datastore::embedded(paths).map(|_| open()).transpose()?;
    let has_all = match &begun {
        Some(target) => whole(target).await? == Some(source.revision().await?),
        None => false,
    };
    let keys = source.get(shared::KEY, None).await?;
    match &keys {
        // The token is gone, perhaps.
        _ if has_all => {}
        Some(keys) => shared::take_over(keys, paths, token).map(drop)?,
        None => refuse_upstream(source).await?,
    }
    let target = begun.map_or_else(open, Ok)?;
    if !has_all {
        copy(source, &target).await?;
        mark_whole(source, &target).await?;
    }
    if keys.is_some() {
        // The files are the keys again.
        shared::forget_token(paths).context("cannot remove the token of the shared datastore")?;
        datastore::forget(paths)?;
    }
    datastore::unmark(&target).await
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
    let is_marked = target.get(MARK, None).await?.is_some();
    if !is_marked && !target.range(prefix_range("/"), 1, None).await?.items.is_empty() {
        bail!("there is something in the datastore to migrate to: it must be empty");
    }
    datastore::mark(target, BEGUN).await?;
    let page = source.range(prefix_range("/"), 0, None).await?;
    target.lift(page.revision).await?;
    let left = |key: &str| key == shared::KEY || UPSTREAMS_OWN.iter().any(|prefix| key.starts_with(prefix));
    let items = page.items.into_iter().filter(|item| !left(&item.key));
    let mut entries: Entries = items.map(|item| (item.key.into(), item.value)).collect();
    let moved = entries.len();
    entries.insert(MARK.to_owned(), Bytes::from_static(BEGUN));
    snapshot::replace(target, entries).await.context("the migration stopped half-way; it can be begun again")?;
    Ok(moved)
}

async fn mark_whole(source: &dyn Store, target: &dyn Store) -> anyhow::Result<()> {
    let told = format!("{WHOLE}{}", source.revision().await?);
    Ok(datastore::mark(target, told.as_bytes()).await?)
}

/// The revision of the source, if everything is there of it.
async fn whole(target: &dyn Store) -> anyhow::Result<Option<Revision>> {
    let mark = target.get(MARK, None).await?;
    let told = mark.and_then(|mark| String::from_utf8(mark.value.into()).ok());
    Ok(told.and_then(|told| told.strip_prefix(WHOLE)?.parse().ok()))
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
    use store::{Expect, Memory, Write};

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
        datastore::unmark(&target).await.unwrap();
        assert_eq!(keys(&target).await, ["/keelson/nodeports/30000", "/registry/a", "/registry/b"]);
        let refused = copy(&source, &target).await.unwrap_err();
        assert!(refused.to_string().contains("must be empty"), "{refused}");
    }

    #[tokio::test]
    async fn what_was_cut_off_at_its_end_is_ended_without_the_token() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) = (Paths::open(first.path()).unwrap(), Paths::open(second.path()).unwrap());
        let source = Memory::new();
        put(&source, "/registry/a").await;
        auth::pki::write_private(&first.encryption_keys(), "keys").unwrap();
        shared::leave(&source, &first, "0123456789abcdef").await.unwrap();
        assert!(bring(&source, &second, None).await.unwrap_err().to_string().contains("join it by --token"));
        bring(&source, &second, Some("0123456789abcdef")).await.unwrap();
        for (told, ends) in
            [(BEGUN.to_vec(), false), (format!("{WHOLE}1").into_bytes(), false), (whole_of(&source).await, true)]
        {
            datastore::mark(&open(&second), &told).await.unwrap();
            datastore::refuse_unfinished(&open(&second)).await.unwrap_err();
            assert_eq!(bring(&source, &second, None).await.is_ok(), ends);
        }
        datastore::refuse_unfinished(&open(&second)).await.unwrap();
    }

    fn open(paths: &Paths) -> Sqlite {
        Sqlite::open(&paths.store()).unwrap()
    }

    async fn whole_of(source: &Memory) -> Vec<u8> {
        format!("{WHOLE}{}", source.revision().await.unwrap()).into_bytes()
    }
}
