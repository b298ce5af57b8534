//! The objects of one resource and what happened to them lately.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};
use std::time::Duration;

use kinds::KindDef;
use parking_lot::RwLock;
use store::{Event, Revision, prefix_range};
use tokio::sync::watch;
use tokio::time::Instant;

use super::followed::Followed;
use crate::entry::Entry;

/// Changes kept for watchers; who needs older ones reads the store's history.
const RING_CHANGES: usize = 4096;
/// Bytes of superseded objects kept with them.
const RING_BYTES: usize = 4 << 20;
/// Changes older than this go with the next change.
const RING_AGE: Duration = Duration::from_secs(60);

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The new state; after a deletion the last one, with the deletion's revision.
    pub entry: Arc<Entry>,
    pub previous: Option<Arc<Entry>>,
    pub deleted: bool,
}

/// What a watcher finds when it asks for what is new.
pub(crate) enum Read {
    /// A change, and the cursor to go on from.
    Change(Change, u64),
    /// Nothing is new: everything up to this revision, at least, has been read.
    UpToDate,
    /// What comes next is no longer kept here.
    Behind,
}

pub(crate) struct Resource {
    kind: &'static KindDef,
    state: RwLock<State>,
    /// How many changes there have been.
    moved: watch::Sender<u64>,
    /// Another has taken its place, or nothing: no change will come any more.
    retired: AtomicBool,
}

#[derive(Default)]
struct State {
    objects: BTreeSet<ByKey>,
    /// The newest change, or the load.
    revision: Revision,
    ring: VecDeque<(Instant, Change)>,
    ring_bytes: usize,
    /// Counts changes from the start; this is that of the ring's oldest.
    first: u64,
    /// The ring holds every change after this revision.
    since: Revision,
    followed: Followed,
    /// What was loaded shows everything up to this revision.
    loaded: Revision,
    /// What happens while objects are loaded; nothing when they are.
    held_back: Option<Vec<Event>>,
}

/// Orders entries by key, so that the key is kept once.
struct ByKey(Arc<Entry>);

impl Borrow<str> for ByKey {
    fn borrow(&self) -> &str {
        self.0.key()
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key().cmp(other.0.key())
    }
}

impl Resource {
    pub fn new(kind: &'static KindDef) -> Self {
        Self { kind, state: RwLock::default(), moved: watch::channel(0).0, retired: AtomicBool::new(false) }
    }

    /// One that holds back what happens until it is loaded.
    pub fn pending(kind: &'static KindDef) -> Self {
        let resource = Self::new(kind);
        resource.state.write().held_back = Some(Vec::new());
        resource
    }

    /// Whether an event waits until objects are loaded, or is among these already.
    pub fn holds_back(&self, event: &Event) -> bool {
        let state = self.state.read();
        if state.held_back.is_none() {
            return event.revision <= state.loaded;
        }
        drop(state);
        let mut state = self.state.write();
        match &mut state.held_back {
            Some(events) => events.push(event.clone()),
            None => return event.revision <= state.loaded,
        }
        true
    }

    /// What was held back since the last time; nothing when that was all, and from then on nothing is held back.
    pub fn held_back(&self) -> Option<Vec<Event>> {
        let mut state = self.state.write();
        let events = state.held_back.as_mut().map(std::mem::take).filter(|events| !events.is_empty());
        if events.is_none() {
            state.held_back = None;
        }
        events
    }

    /// Ends all who watch.
    pub fn retire(&self) {
        self.retired.store(true, atomic::Ordering::Release);
        self.wake();
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(atomic::Ordering::Acquire)
    }

    /// The newest change, or the load.
    pub fn revision(&self) -> Revision {
        self.state.read().revision
    }

    pub fn kind(&self) -> &'static KindDef {
        self.kind
    }

    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.state.read().objects.get(key).map(|found| found.0.clone())
    }

    /// Calls `visit` with the objects whose keys start with `prefix`, from `start` on, until it says
    /// stop; answers the revision of what was seen, at least `applied`.
    pub fn scan(
        &self,
        prefix: &str,
        start: &str,
        applied: Revision,
        mut visit: impl FnMut(&Arc<Entry>) -> bool,
    ) -> Revision {
        let state = self.state.read();
        // Bounds are compared on the way down the tree alone, not with each object.
        let range = prefix_range(prefix);
        let from = if start > prefix { start } else { prefix };
        if from >= range.end.as_str() {
            return state.revision.max(applied);
        }
        let bounds = (Bound::Included(from), Bound::Excluded(range.end.as_str()));
        for found in state.objects.range::<str, _>(bounds) {
            if !visit(&found.0) {
                break;
            }
        }
        state.revision.max(applied)
    }

    /// All objects, and the cursor of the change that is yet to come.
    pub fn snapshot(&self) -> (Vec<Arc<Entry>>, u64) {
        let state = self.state.read();
        (state.objects.iter().map(|found| found.0.clone()).collect(), state.end())
    }

    /// Whether the objects are still what they were at `revision`.
    pub fn unchanged_since(&self, revision: Revision) -> bool {
        self.state.read().revision <= revision
    }

    /// How many changes there have been; and the means to wait for the next.
    pub fn moved(&self) -> &watch::Sender<u64> {
        &self.moved
    }

    /// Makes waiting watchers look again.
    pub fn wake(&self) {
        self.moved.send_modify(|_| {});
        self.state.read().followed.wake_all();
    }

    pub fn count(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Where to start reading changes after `revision`; nothing when they are no longer all kept.
    pub fn cursor_after(&self, revision: Revision) -> Option<u64> {
        self.state.read().cursor_after(revision)
    }

    /// The change at `cursor`.
    pub fn read(&self, cursor: u64) -> Read {
        let state = self.state.read();
        if cursor < state.first { Read::Behind } else { state.at(cursor) }
    }

    /// One more watcher of `key` alone; answers what wakes it.
    pub fn join(&self, key: &str) -> watch::Receiver<u64> {
        let mut state = self.state.write();
        let end = state.end();
        state.followed.join(key, end)
    }

    pub fn leave(&self, key: &str) {
        self.state.write().followed.leave(key);
    }

    /// [`Self::cursor_after`] for one who joined and reads with [`Self::read_key`].
    pub fn cursor_of_key_after(&self, key: &str, revision: Revision) -> Option<u64> {
        let mut state = self.state.write();
        let cursor = state.cursor_after(revision)?;
        state.list_from(key, cursor);
        Some(cursor)
    }

    /// The first change of `key` at `cursor` or after it.
    pub fn read_key(&self, key: &str, cursor: u64) -> Read {
        let state = self.state.read();
        match state.followed.get(key).map(|key| key.next(cursor)) {
            Some(Ok(Some(change))) => state.at(change),
            Some(Ok(None)) => Read::UpToDate,
            Some(Err(_)) | None => Read::Behind,
        }
    }

    /// Replaces everything by what was loaded at `revision`.
    pub fn load(&self, entries: Vec<Arc<Entry>>, revision: Revision) {
        self.replace(entries, revision, None);
    }

    /// The same while what happens is still held back; nothing if that is over, as all was loaded meanwhile.
    pub fn place(&self, entries: Vec<Arc<Entry>>, revision: Revision) {
        let held_back = self.state.write().held_back.take();
        if held_back.is_some() {
            self.replace(entries, revision, held_back);
        }
    }

    fn replace(&self, entries: Vec<Arc<Entry>>, revision: Revision, held_back: Option<Vec<Event>>) {
        // What is mutable inside an entry is its memo of labels, which the order does not look at.
        #[allow(clippy::mutable_key_type)]
        let objects = entries.into_iter().map(ByKey).collect();
        let mut state = self.state.write();
        let passed = state.end() + 1;
        let mut followed = std::mem::take(&mut state.followed);
        followed.restart(passed);
        *state = State {
            objects,
            revision,
            first: passed,
            since: revision,
            followed,
            loaded: revision,
            held_back,
            ..State::default()
        };
        state.followed.wake_all();
        drop(state);
        self.moved.send_modify(|moved| *moved += 1);
    }

    pub fn apply(&self, change: Change) {
        let now = clock::monotonic();
        let mut state = self.state.write();
        if change.deleted {
            state.objects.remove(change.entry.key());
        } else {
            state.objects.replace(ByKey(change.entry.clone()));
        }
        state.revision = change.entry.revision();
        let end = state.end();
        let followers = state.followed.add(change.entry.key(), end);
        state.remember(change, now);
        drop(state);
        for moved in std::iter::once(&self.moved).chain(&followers) {
            moved.send_modify(|moved| *moved += 1);
        }
    }
}

impl State {
    /// The cursor of the change that is yet to come.
    fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    fn at(&self, cursor: u64) -> Read {
        match self.ring.get((cursor - self.first) as usize) {
            Some((_, change)) => Read::Change(change.clone(), cursor + 1),
            None => Read::UpToDate,
        }
    }

    fn cursor_after(&self, revision: Revision) -> Option<u64> {
        let skipped = || self.ring.partition_point(|(_, change)| change.entry.revision() <= revision);
        (revision >= self.since).then(|| self.first + skipped() as u64)
    }

    /// Lists the changes of a followed key from `cursor` on.
    fn list_from(&mut self, key: &str, cursor: u64) {
        let Some(followed) = self.followed.get_mut(key).filter(|followed| cursor < followed.listed_from()) else {
            return;
        };
        let [from, to] = [cursor, followed.listed_from()].map(|cursor| (cursor - self.first) as usize);
        let listed = self.ring.range(from..to).zip(cursor..);
        let of_key = listed.filter(|((_, change), _)| change.entry.key() == key).map(|(_, cursor)| cursor);
        followed.list_from(cursor, of_key.collect::<Vec<_>>().into_iter());
    }

    fn remember(&mut self, change: Change, now: Instant) {
        self.ring_bytes += size(&change);
        self.ring.push_back((now, change));
        while self.full(now) {
            let Some((_, oldest)) = self.ring.pop_front() else { return };
            self.ring_bytes -= size(&oldest);
            self.followed.drop_oldest(oldest.entry.key(), self.first);
            self.first += 1;
            self.since = oldest.entry.revision();
        }
    }

    fn full(&self, now: Instant) -> bool {
        let stale = self.ring.front().is_some_and(|(at, _)| now.duration_since(*at) > RING_AGE);
        stale || self.ring.len() > RING_CHANGES || (self.ring_bytes > RING_BYTES && self.ring.len() > 1)
    }
}

/// What the ring alone keeps alive: the state that the change replaced.
fn size(change: &Change) -> usize {
    change.previous.as_ref().map_or(0, |previous| previous.json().len())
}
