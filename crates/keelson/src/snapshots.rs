//! `keelson snapshot`, and the snapshots that a server takes by itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use controllers::cronjob::Schedule;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use store::snapshot::{self, Header, Snapshot};
use store::{Page, Reader, Revision, Sqlite, Store};

use crate::datastore::{BEGUN, MARK};
use crate::paths::Paths;
use crate::{datastore, flags, shared};

const EXTENSION: &str = "snapshot";
const UNFINISHED: &str = "unfinished";
/// Who writes a snapshot does not rest so long.
const ABANDONED: Duration = Duration::from_secs(3600);
/// How the names begin, by who took the snapshot.
const BY_HAND: &str = "saved";
const SCHEDULED: &str = "scheduled";

pub async fn run(flags: flags::Snapshot) -> anyhow::Result<()> {
    match flags.command {
        flags::SnapshotCommand::Save { place } => save(&place).await,
        flags::SnapshotCommand::List { place } => list(&place),
        flags::SnapshotCommand::Restore { place, name } => restore(&place, &name).await,
    }
}

/// Where snapshots lie.
pub fn directory(flag: Option<&Path>, paths: &Paths) -> PathBuf {
    flag.map_or_else(|| paths.root().join("snapshots"), Path::to_owned)
}

async fn save(place: &flags::Snapshots) -> anyhow::Result<()> {
    let paths = Paths::open(&place.data.data_dir)?;
    let directory = directory(place.snapshot_dir.as_deref(), &paths);
    let (file, header) = if place.datastore.is_shared() {
        let store = datastore::connect(&place.datastore.datastore, &place.datastore.tls).await?;
        let read = async |range, limit, at| store.range(range, limit, at).await;
        take(read, BTreeMap::new(), &directory, BY_HAND).await?
    } else {
        let store = Reader::open(&paths.store()).context("no server has started in this data directory")?;
        let read = async |range, limit, at| store.range(range, limit, at).await;
        take(read, shared::read(&paths)?, &directory, BY_HAND).await?
    };
    println!("saved revision {} to {}", header.revision, file.display());
    Ok(())
}

/// Writes a snapshot and, once it is whole, gives it its name. It holds the keys of the cluster.
async fn take(
    read: impl AsyncFn(Range<String>, usize, Option<Revision>) -> store::Result<Page>,
    files: BTreeMap<String, String>,
    directory: &Path,
    by: &str,
) -> anyhow::Result<(PathBuf, Header)> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    remove_abandoned(directory)?;
    let unfinished = directory.join(format!("{by}-{}.{UNFINISHED}", clock::uuid()));
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished);
    let file = opened.with_context(|| format!("cannot write {}", unfinished.display()))?;
    let written = async {
        let header = snapshot::save(read, files, &file).await?;
        file.sync_all()?;
        let path = directory.join(format!("{by}-{}-{}.{EXTENSION}", compact_time(header.time), header.revision));
        fs::rename(&unfinished, &path)?;
        File::open(directory)?.sync_all()?;
        anyhow::Ok((path, header))
    };
    let written = written.await;
    if written.is_err() && unfinished.exists() {
        fs::remove_file(&unfinished)?;
    }
    written.with_context(|| format!("no snapshot was taken in {}", directory.display()))
}

/// Removes what those began to write who were killed.
fn remove_abandoned(directory: &Path) -> anyhow::Result<()> {
    for file in with_extension(directory, UNFINISHED)? {
        let changed = fs::metadata(&file).and_then(|metadata| metadata.modified());
        let rests = changed.is_ok_and(|changed| clock::since(changed.try_into().unwrap_or_default()) > ABANDONED);
        if rests {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}

/// `20261126T031500Z`
fn compact_time(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The snapshots of a directory, oldest first.
fn found(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = with_extension(directory, EXTENSION)?;
    // Whoever took them: names go on with the time.
    files.sort_by_key(|path| name(path).split_once('-').map(|(_, rest)| rest.to_owned()));
    Ok(files)
}

/// Nothing where there is no directory.
fn with_extension(directory: &Path, wanted: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", directory.display())),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == wanted) {
            files.push(path);
        }
    }
    Ok(files)
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn list(place: &flags::Snapshots) -> anyhow::Result<()> {
    let paths = Paths::open(&place.data.data_dir)?;
    let mut lines = vec!["NAME\tREVISION\tTIME\tSIZE".to_owned()];
    for path in found(&directory(place.snapshot_dir.as_deref(), &paths))? {
        let size = fs::metadata(&path)?.len();
        lines.push(match snapshot::read_header(BufReader::new(File::open(&path)?)) {
            Ok(header) => {
                let time = Timestamp::from_second(header.time).unwrap_or_default();
                format!("{}\t{}\t{time}\t{size}", name(&path), header.revision)
            }
            Err(error) => format!("{}\t<{error}>\t\t{size}", name(&path)),
        });
    }
    println!("{}", cli::align::align(&lines.join("\n"), 0, 3));
    Ok(())
}

async fn restore(place: &flags::Snapshots, named: &Path) -> anyhow::Result<()> {
    let paths = Paths::open(&place.data.data_dir)?;
    let directory = directory(place.snapshot_dir.as_deref(), &paths);
    let in_directory = directory.join(named).with_extension(EXTENSION);
    let file = if in_directory.exists() { in_directory } else { named.to_owned() };
    let opened = File::open(&file).with_context(|| format!("there is no snapshot {}", named.display()))?;
    let snapshot = snapshot::read(BufReader::new(opened)).with_context(|| file.display().to_string())?;
    let shared = snapshot.entries.contains_key(shared::KEY);
    match (shared, place.datastore.is_shared()) {
        (true, false) => bail!("the snapshot is of a shared datastore: name one by --datastore"),
        (false, true) => bail!("the snapshot is of an embedded datastore: restore it there, and migrate it then"),
        (true, true) => {
            let store = datastore::connect(&place.datastore.datastore, &place.datastore.tls).await?;
            datastore::refuse_running(&store).await?;
            fill(&store, snapshot).await
        }
        (false, false) => {
            let store = Sqlite::open(&paths.store()).context("stop the server first")?;
            bring_files(&paths, &snapshot.header.files)?;
            fill(&store, snapshot).await
        }
    }
}

/// A mark keeps servers away until everything is there.
async fn fill(store: &dyn Store, mut snapshot: Snapshot) -> anyhow::Result<()> {
    let revision = snapshot.header.revision;
    datastore::mark(store, BEGUN).await?;
    snapshot.entries.insert(MARK.to_owned(), BEGUN.into());
    let changes = snapshot::restore(store, snapshot).await.context("restoring stopped half-way; begin it again")?;
    datastore::unmark(store).await?;
    println!(
        "restored revision {revision}: {} objects written, {} deleted; the datastore is at revision {}",
        changes.written,
        changes.deleted,
        store.revision().await?
    );
    Ok(())
}

/// Puts the cluster's keys in place, or sees that they are there.
fn bring_files(paths: &Paths, files: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let known = paths.shared();
    // Authorities of this cluster may have given way to others since: those of now stay.
    let own = fs::read_to_string(paths.pki().join("ca.crt")).map(|own| auth::tls::certificates(&own));
    let theirs = files.get("pki/ca.crt").map(|theirs| auth::tls::certificates(theirs));
    let same = matches!((own, theirs), (Ok(Ok(own)), Some(Ok(theirs))) if own.iter().any(|of| theirs.contains(of)));
    let wanted = |path: &str| known.contains(&path) && !(same && path.starts_with("pki/"));
    for (path, text) in files.iter().filter(|(path, _)| wanted(path)) {
        let file = paths.root().join(path);
        if file == paths.encryption_keys() {
            encryption::keys::keep(&file, text)?;
            continue;
        }
        match fs::read_to_string(&file) {
            Ok(own) if own == *text => {}
            Ok(_) => bail!("{} is not that of the snapshot's cluster: restore into another one", file.display()),
            Err(_) => auth::pki::write_private(&file, text)?,
        }
    }
    Ok(())
}

/// Takes snapshots when the schedule says so, and keeps the newest of them. Ends only when it is dropped. `files`
/// is the data directory where the keys of the cluster are not in the store.
pub async fn follow(
    schedule: Schedule,
    retention: usize,
    store: Arc<dyn Store>,
    files: Option<Paths>,
    directory: PathBuf,
) {
    loop {
        let now = clock::now();
        let Some(next) = schedule.next(now, &TimeZone::system()) else {
            tracing::warn!("the schedule of snapshots never comes");
            return std::future::pending().await;
        };
        tokio::time::sleep(next.duration_since(now).unsigned_abs()).await;
        let (store, files, directory) = (store.clone(), files.clone(), directory.clone());
        let runtime = tokio::runtime::Handle::current();
        // Compressing keeps a thread busy.
        let taking = move || runtime.block_on(scheduled(retention, &*store, files.as_ref(), &directory));
        match tokio::task::spawn_blocking(taking).await {
            Ok(Ok((file, header))) => tracing::info!(file = %file.display(), revision = header.revision, "snapshot"),
            Ok(Err(error)) => tracing::error!(error = format!("{error:#}"), "a scheduled snapshot failed"),
            Err(error) => tracing::error!(%error, "a scheduled snapshot failed"),
        }
    }
}

async fn scheduled(
    retention: usize,
    store: &dyn Store,
    files: Option<&Paths>,
    directory: &Path,
) -> anyhow::Result<(PathBuf, Header)> {
    let files = files.map_or_else(|| Ok(BTreeMap::new()), shared::read)?;
    let read = async |range, limit, at| store.range(range, limit, at).await;
    let taken = take(read, files, directory, SCHEDULED).await?;
    prune(directory, retention)?;
    Ok(taken)
}

/// Removes the oldest scheduled snapshots beyond `retention`.
fn prune(directory: &Path, retention: usize) -> anyhow::Result<()> {
    let mut scheduled = found(directory)?;
    scheduled.retain(|path| name(path).starts_with(SCHEDULED));
    let surplus = scheduled.len().saturating_sub(retention);
    for path in &scheduled[..surplus] {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use store::testing::{Fault, Faulty};
    use store::{Expect, Memory, Write, prefix_range};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn snapshots_are_taken_by_schedule_and_the_oldest_removed() {
        let _time = clock::simulate(1);
        let directory = tempfile::tempdir().unwrap();
        let by_hand = directory.path().join("saved-20200101T000000Z-1.snapshot");
        fs::write(&by_hand, "").unwrap();
        let schedule = Schedule::parse("*/10 * * * *").unwrap();
        let store = Memory::new();
        for _ in 0..5 {
            let before = clock::now();
            let next = schedule.next(before, &TimeZone::UTC).unwrap();
            tokio::time::advance(next.duration_since(before).unsigned_abs()).await;
            scheduled(3, &store, None, directory.path()).await.unwrap();
        }
        let names: Vec<String> = found(directory.path()).unwrap().iter().map(|path| name(path)).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert_eq!(names[0], "saved-20200101T000000Z-1");
        assert!(names[1..].iter().all(|name| name.starts_with("scheduled-")), "{names:?}");
    }

    #[tokio::test]
    async fn a_restore_that_was_cut_off_keeps_servers_away_until_it_is_done() {
        let saved = Arc::new(Memory::new());
        put(&*saved, "/registry/a").await;
        put(&*saved, "/registry/b").await;
        let mut file = Vec::new();
        let read = async |range, limit, at| saved.range(range, limit, at).await;
        snapshot::save(read, BTreeMap::new(), &mut file).await.unwrap();
        let restored = || snapshot::read(&file[..]).unwrap();
        for writes in 0.. {
            let store = Arc::new(Memory::new());
            let faulty = Faulty::new(store.clone());
            faulty.fail_after(writes, Fault::Unanswered);
            if fill(&faulty, restored()).await.is_ok() {
                assert_eq!(writes, 4, "a mark, two objects, no mark");
                break;
            }
            let whole = keys(&*store).await == ["/registry/a", "/registry/b"];
            assert_eq!(datastore::refuse_unfinished(&*store).await.is_ok(), whole, "after {writes} writes");
            fill(&*store, restored()).await.unwrap();
            assert_eq!(keys(&*store).await, ["/registry/a", "/registry/b"]);
        }
    }

    #[tokio::test]
    async fn what_was_begun_by_who_was_killed_goes_after_a_while() {
        let directory = tempfile::tempdir().unwrap();
        for (name, age) in [("now", Duration::ZERO), ("before", ABANDONED * 2)] {
            let file = File::create(directory.path().join(format!("{name}.{UNFINISHED}"))).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        scheduled(3, &Memory::new(), None, directory.path()).await.unwrap();
        let left = with_extension(directory.path(), UNFINISHED).unwrap();
        assert_eq!(left.iter().map(|path| name(path)).collect::<Vec<_>>(), ["now"]);
        assert_eq!(found(directory.path()).unwrap().len(), 1);
    }

    async fn put(store: &dyn Store, key: &str) {
        let value = Some("v".into());
        store.write(Write { key: key.into(), value, expect: Expect::Absent }).await.unwrap();
    }

    async fn keys(store: &dyn Store) -> Vec<String> {
        let items = store.range(prefix_range("/"), 0, None).await.unwrap().items;
        items.into_iter().map(|item| item.key.into()).collect()
    }

    #[test]
    fn keys_of_another_cluster_are_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::open(directory.path()).unwrap();
        let files = |authority: &str| BTreeMap::from([("pki/ca.crt".to_owned(), authority.to_owned())]);
        bring_files(&paths, &files("one")).unwrap();
        bring_files(&paths, &files("one")).unwrap();
        assert!(bring_files(&paths, &files("two")).is_err());
        bring_files(&paths, &BTreeMap::from([("../outside".to_owned(), String::new())])).unwrap();
        assert!(!directory.path().join("../outside").exists());
    }
}
