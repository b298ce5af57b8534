//! What the registry does by itself: events expire, and history is compacted.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use kinds::KindDef;
use store::{Expect, Revision, Store, Write};
use tokio::time::Instant;

use crate::answer::WatchEvent;
use crate::entry::Entry;
use crate::keys::{ROOT, resource_prefix};
use crate::registry::{Inner, Registry};
use crate::request::{Context, DeleteOptions, WatchOptions};
use crate::transform::Transformer;

/// How long the past can be read and watched.
const HISTORY_AGE: Duration = Duration::from_secs(5 * 60);
/// How many revisions can be, even if they are younger.
const HISTORY_REVISIONS: Revision = 100_000;
/// How often the age of history is looked at while there are writes.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// Starts the tasks; they end with the registry. `outdated` are the keys whose values are to be stored anew.
pub(crate) fn start(registry: &Registry, outdated: Vec<Box<str>>) {
    tokio::spawn(store_anew(Arc::downgrade(&registry.0), outdated));
    tokio::spawn(compact(Arc::downgrade(&registry.0)));
    tokio::spawn(expire_events(Arc::downgrade(&registry.0)));
}

/// Writes values again that were encrypted by an old key, or not at all, so that the old key can go.
async fn store_anew(inner: Weak<Inner>, outdated: Vec<Box<str>>) {
    let count = outdated.len();
    for key in outdated {
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = store_anew_at(&*inner.store, &*inner.transformer, &key).await {
            tracing::warn!(error, "a value stays encrypted as it was");
        }
    }
    if count > 0 {
        tracing::info!(count, "values are encrypted by the newest key");
    }
}

/// Values that are read at once to see which are outdated.
const PAGE: usize = 500;

impl Registry {
    /// Stores anew, by the newest key, whatever is encrypted by an older one or not at all, and answers how much
    /// that was. Sees every write that was begun before.
    pub async fn store_outdated_anew(&self) -> Result<usize, String> {
        self.0.pass_writes().await?;
        store_outdated_anew(&*self.0.store, &*self.0.transformer, &self.kinds().iter().collect::<Vec<_>>()).await
    }

    /// How far the store has come.
    pub async fn stored_revision(&self) -> Result<Revision, String> {
        self.0.store.revision().await.map_err(|error| error.to_string())
    }

    /// Waits until nothing can read what was before this revision any more. Safe to drop.
    pub async fn forgotten(&self, revision: Revision) {
        let mut forgotten = self.0.forgotten.subscribe();
        // The sender lives as long as the registry does.
        let _ = forgotten.wait_for(|until| *until >= revision).await;
    }
}

impl Inner {
    /// Waits until the store has done all that was asked of it before: writes happen in order.
    async fn pass_writes(&self) -> Result<(), String> {
        let never = Write { key: ROOT.into(), value: None, expect: Expect::ModRevision(Revision::MAX) };
        match self.store.write(never).await {
            Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Stores anew, by the newest key, whatever of these kinds is encrypted by an older one or not at all, and answers how
/// much that was.
pub async fn store_outdated_anew(
    store: &dyn Store,
    transformer: &dyn Transformer,
    kinds: &[&KindDef],
) -> Result<usize, String> {
    let mut count = 0;
    for kind in kinds.iter().filter(|kind| kind.is_stored()) {
        let mut range = store::prefix_range(&resource_prefix(kind));
        while transformer.covers(&range.start) {
            let page = store.range(range.clone(), PAGE, None).await.map_err(|error| error.to_string())?;
            for held in page.items.iter().filter(|held| transformer.is_outdated(&held.key, &held.value)) {
                store_anew_at(store, transformer, &held.key).await?;
                count += 1;
            }
            match page.items.last() {
                Some(last) if page.more => range.start = format!("{}\0", last.key),
                _ => break,
            }
        }
    }
    Ok(count)
}

async fn store_anew_at(store: &dyn Store, transformer: &dyn Transformer, key: &str) -> Result<(), String> {
    let Some(held) = store.get(key, None).await.map_err(|error| error.to_string())? else { return Ok(()) };
    let _in_use = transformer.hold(key);
    let plain = transformer.from_storage(key, held.value).map_err(|error| error.to_string())?;
    let value = transformer.to_storage(key, plain).map_err(|error| error.to_string())?;
    let write = Write { key: key.into(), value: Some(value), expect: Expect::ModRevision(held.mod_revision) };
    match store.write(write).await {
        // Who was faster has used the newest key.
        Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
        Err(error) => Err(format!("{key}: {error}")),
    }
}

/// Follows how far the store has come, and forgets what is old or too much. Sleeps while nothing is written.
async fn compact(inner: Weak<Inner>) {
    let Some(mut progress) = inner.upgrade().map(|inner| inner.cache.progress()) else { return };
    let mut samples: VecDeque<(Instant, Revision)> = VecDeque::new();
    let mut compacted = 0;
    loop {
        let revision = *progress.borrow_and_update();
        samples.push_back((clock::monotonic(), revision));
        if let Some(until) = forgettable(&mut samples, clock::monotonic(), revision).filter(|until| *until > compacted)
        {
            let Some(inner) = inner.upgrade() else { return };
            match inner.store.compact(until).await {
                Ok(()) => {
                    compacted = until;
                    inner.forgotten.send_replace(until);
                }
                Err(error) => tracing::warn!(%error, "history could not be compacted"),
            }
        }
        tokio::time::sleep(SAMPLE_EVERY).await;
        let all_forgotten = samples.iter().all(|(_, sampled)| *sampled <= compacted);
        let news = all_forgotten.then(|| progress.changed());
        if let Some(news) = news
            && news.await.is_err()
        {
            return;
        }
        if inner.strong_count() == 0 {
            return;
        }
    }
}

/// The revision before which history can go; drops the samples that are no longer needed.
fn forgettable(samples: &mut VecDeque<(Instant, Revision)>, now: Instant, newest: Revision) -> Option<Revision> {
    let mut old = None;
    while samples.front().is_some_and(|(at, _)| now.duration_since(*at) >= HISTORY_AGE) {
        old = samples.pop_front().map(|(_, revision)| revision);
    }
    let surplus = newest.checked_sub(HISTORY_REVISIONS);
    old.max(surplus)
}

/// When each event is to go.
#[derive(Default)]
struct Expiries {
    queue: BTreeSet<(Instant, Box<str>)>,
    /// The newest state of each event, and its place in the queue.
    newest: HashMap<Box<str>, (Instant, Arc<Entry>)>,
}

impl Expiries {
    fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    fn put(&mut self, at: Instant, entry: Arc<Entry>) {
        self.forget(entry.key());
        self.queue.insert((at, entry.key().into()));
        self.newest.insert(entry.key().into(), (at, entry));
    }

    fn forget(&mut self, key: &str) -> Option<Arc<Entry>> {
        let (at, entry) = self.newest.remove(key)?;
        self.queue.remove(&(at, key.into()));
        Some(entry)
    }

    fn take(&mut self) -> Option<Arc<Entry>> {
        let key = self.queue.first()?.1.clone();
        self.forget(&key)
    }
}

/// Deletes each event some time after it last happened.
async fn expire_events(inner: Weak<Inner>) {
    while let Some(registry) = inner.upgrade().map(Registry) {
        let passing = |kind: &&KindDef| kind.happened.is_some() && kind.conversion.is_none();
        let Some(kind) = registry.kinds().iter().find(passing) else { return };
        let watch = registry.watch(kind, "", &WatchOptions::default()).await;
        let life = registry.0.event_ttl;
        drop(registry);
        match watch {
            Ok(watch) => follow_events(&inner, watch, life).await,
            Err(error) => tracing::warn!(%error, "events can not be watched"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow_events(inner: &Weak<Inner>, mut watch: crate::watch::Watch, life: Duration) {
    let mut expiries = Expiries::default();
    loop {
        let due = expiries.next();
        let event = tokio::select! {
            event = watch.next() => event,
            () = sleep_until(due) => {
                let Some(registry) = inner.upgrade().map(Registry) else { return };
                if let Some(entry) = expiries.take() {
                    expire(&registry, &entry).await;
                }
                continue;
            }
        };
        match event {
            Some(WatchEvent::Added(entry) | WatchEvent::Modified(entry)) => {
                expiries.put(clock::monotonic() + remaining_life(&entry, life), entry);
            }
            Some(WatchEvent::Deleted(entry)) => {
                expiries.forget(entry.key());
            }
            Some(WatchEvent::Bookmark { .. }) => {}
            Some(WatchEvent::Error(_)) | None => return,
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Deletes the event unless it was written again.
async fn expire(registry: &Registry, entry: &Entry) {
    let options = DeleteOptions { resource_version: Some(entry.revision().to_string()), ..DeleteOptions::default() };
    let cx = Context::default();
    let done = registry.delete(&cx, entry.kind(), entry.namespace(), entry.name(), &options).await;
    if let Err(error) = done {
        tracing::debug!(%error, key = entry.key(), "an event stays");
    }
}

/// What is left of an event's life, by when it says it last happened.
fn remaining_life(event: &Entry, life: Duration) -> Duration {
    let happened = event.kind().happened.and_then(|happened| happened(&event.object()));
    life.saturating_sub(happened.map_or(Duration::ZERO, clock::since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn history_goes_by_age_and_by_amount() {
        let mut samples = VecDeque::from([(clock::monotonic(), 10)]);
        tokio::time::advance(HISTORY_AGE / 2).await;
        samples.push_back((clock::monotonic(), 20));
        assert_eq!(forgettable(&mut samples, clock::monotonic(), 20), None);
        tokio::time::advance(HISTORY_AGE / 2).await;
        assert_eq!(forgettable(&mut samples, clock::monotonic(), 30), Some(10));
        let many = HISTORY_REVISIONS + 50;
        assert_eq!(forgettable(&mut samples, clock::monotonic(), many), Some(50));
        tokio::time::advance(HISTORY_AGE).await;
        assert_eq!(forgettable(&mut samples, clock::monotonic(), 30), Some(20));
    }
}
