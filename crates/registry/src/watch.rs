//! One client's watch over the cache.
//!
//! A watch reads changes where they lie: from the cache's ring while it keeps up, from the store's history
//! while it does not. Nothing is queued for it, so a slow client costs no memory; it ends only when it asks
//! for history that has been compacted.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use kinds::KindDef;
use machinery::ApiError;
use store::{Event, Revision, Store, Watched};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::answer::WatchEvent;
use crate::cache::{Cache, Change, Follower, Read, Resource};
use crate::entry::Entry;
use crate::keys::resource_prefix;
use crate::registry::{Inner, Registry};
use crate::selection::Selection;

/// How often a watch tells how far it has come.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long before its end a watch tells it once more.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// Changes that are looked at before other tasks get their turn.
const TURN: u32 = 128;
/// Changes that a webhook converts at once.
const BATCH: usize = 100;

/// Changes of one kind, in order, as one client asked for them.
pub struct Watch {
    cache: Arc<Cache>,
    /// Weak, so that a client that lingers does not keep the store open.
    store: Weak<dyn Store>,
    follower: Follower,
    selection: Selection,
    source: Source,
    /// Everything up to here has been delivered or was not selected.
    delivered: Revision,
    bookmark: Option<Bookmark>,
    /// Where a webhook converts what happens.
    conversion: Option<Conversion>,
}

/// What happens in versions that a webhook converts, as far as it has been read.
struct Conversion {
    registry: Weak<Inner>,
    kind: &'static KindDef,
    /// Of the version asked for; before the webhook has answered, the watch selects objects of any.
    selection: Selection,
    /// What waits for the webhook's answer, which takes it all at once.
    unconverted: Vec<Step>,
    converted: VecDeque<WatchEvent>,
}

/// Something that happens on a watch.
enum Step {
    Tell(WatchEvent),
    /// It is yet to be seen what the webhook makes of it.
    Convert(Change),
}

struct Bookmark {
    /// Nothing when the end is too near for another one.
    due: Option<Instant>,
    /// When the watch ends, if that is known.
    deadline: Option<Instant>,
    /// The initial events are yet to be closed.
    initial: bool,
    /// Where the watch began; there is nothing to tell until the cache is beyond it.
    began: Revision,
}

impl Bookmark {
    fn new(kind: Bookmarks, began: Revision, deadline: Option<Instant>) -> Option<Self> {
        let mut bookmark = Self { due: None, deadline, initial: kind == Bookmarks::InitialEventsEnd, began };
        bookmark.plan(clock::jitter(BOOKMARK_EVERY, 0.25));
        (kind != Bookmarks::None).then_some(bookmark)
    }

    /// The next one comes in this time, or shortly before the watch ends.
    fn plan(&mut self, every: Duration) {
        let now = clock::monotonic();
        let last = self.deadline.and_then(|deadline| deadline.checked_sub(BOOKMARK_BEFORE_END));
        let due = last.map_or(now + every, |last| last.min(now + every));
        self.due = (due > now).then_some(due);
    }
}

/// Where the next event comes from.
enum Source {
    /// Objects that were there when the watch began.
    Initial(VecDeque<Arc<Entry>>),
    /// The store, from further back than the ring reaches.
    History {
        messages: mpsc::Receiver<Watched>,
        changes: VecDeque<Change>,
    },
    /// The ring, from this change on.
    Ring(u64),
    /// To be found from what was delivered.
    Unknown,
    Over,
}

impl Conversion {
    /// Has the webhook convert all that waits.
    async fn convert(&mut self) -> Result<(), ApiError> {
        let Some(registry) = self.registry.upgrade().map(Registry) else {
            return Err(ApiError::unavailable("the server is closing"));
        };
        let changes = self.unconverted.iter().filter_map(|step| match step {
            Step::Convert(change) => Some(change),
            Step::Tell(_) => None,
        });
        let entries = changes.flat_map(|change| change.previous.iter().chain([&change.entry]).cloned()).collect();
        let mut seen = registry.seen(entries, self.kind).await?.into_iter();
        for step in self.unconverted.drain(..) {
            let told = match step {
                Step::Tell(event) => Some(event),
                Step::Convert(change) => {
                    let previous = change.previous.as_ref().and_then(|_| seen.next());
                    let entry = seen.next().expect("one for each that was given");
                    seen_by(&self.selection, &Change { entry, previous, ..change })
                }
            };
            self.converted.extend(told);
        }
        Ok(())
    }
}

/// How a watch begins.
pub(crate) enum Start {
    /// With what is there, seen at this revision.
    Objects(Vec<Arc<Entry>>, Revision),
    After(Revision),
}

impl Watch {
    pub(crate) fn new(
        cache: Arc<Cache>,
        store: Weak<dyn Store>,
        resource: Arc<Resource>,
        selection: Selection,
        start: Start,
        bookmarks: Bookmarks,
        deadline: Option<Instant>,
    ) -> Self {
        let (source, delivered) = match start {
            Start::Objects(objects, revision) => (Source::Initial(objects.into()), revision),
            Start::After(revision) => (Source::Unknown, revision),
        };
        let bookmark = Bookmark::new(bookmarks, delivered, deadline);
        let follower = Follower::new(resource.clone(), selection.exact_key(resource.kind()));
        Self { cache, store, follower, selection, source, delivered, bookmark, conversion: None }
    }

    /// The same with events that a webhook makes `kind` of, selected only then.
    pub(crate) fn converting(self, registry: Weak<Inner>, kind: &'static KindDef) -> Self {
        let selection = self.selection.of_any_version();
        let (unconverted, converted) = (Vec::new(), VecDeque::new());
        let conversion = Conversion { registry, kind, selection: self.selection, unconverted, converted };
        Self { selection, conversion: Some(conversion), ..self }
    }

    /// The next event; nothing when the watch is over. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.conversion.as_mut().and_then(|conversion| conversion.converted.pop_front()) {
                return Some(event);
            }
            if self.conversion.as_ref().is_none_or(|conversion| conversion.unconverted.is_empty()) {
                match self.next_stored().await? {
                    Step::Tell(event) => return Some(event),
                    change => self.keep_unconverted(change),
                }
            }
            // What else has happened goes to the webhook with it.
            while self.conversion.as_ref().is_some_and(|conversion| conversion.unconverted.len() < BATCH)
                && let Some(step) = self.next_stored().now_or_never().flatten()
            {
                self.keep_unconverted(step);
            }
            if let Err(error) = self.conversion.as_mut()?.convert().await {
                return Some(self.end(error));
            }
        }
    }

    fn keep_unconverted(&mut self, step: Step) {
        if let Some(conversion) = &mut self.conversion {
            conversion.unconverted.push(step);
        }
    }

    async fn next_stored(&mut self) -> Option<Step> {
        for turn in 1.. {
            if turn % TURN == 0 {
                tokio::task::yield_now().await;
            }
            let step = match &mut self.source {
                Source::Initial(objects) => match objects.pop_front() {
                    Some(entry) => return Some(Step::Tell(WatchEvent::Added(entry))),
                    None => self.end_initial().map(Step::Tell),
                },
                Source::Unknown => self.find_source().await.map(Step::Tell),
                Source::Ring(cursor) => {
                    let cursor = *cursor;
                    self.read_ring(cursor).await
                }
                Source::History { .. } => self.read_history().await,
                Source::Over => return None,
            };
            if step.is_some() {
                return step;
            }
        }
        None
    }

    fn end_initial(&mut self) -> Option<WatchEvent> {
        self.source = Source::Unknown;
        let bookmark = self.bookmark.as_mut().filter(|bookmark| bookmark.initial)?;
        bookmark.initial = false;
        Some(WatchEvent::Bookmark { revision: self.delivered, initial_events_end: true })
    }

    async fn find_source(&mut self) -> Option<WatchEvent> {
        if let Some(cursor) = self.follower.cursor_after(self.delivered) {
            self.source = Source::Ring(cursor);
            return None;
        }
        let prefix = resource_prefix(self.follower.resource().kind());
        let Some(store) = self.store.upgrade() else {
            self.source = Source::Over;
            return None;
        };
        match store.watch(&prefix, self.delivered + 1).await {
            Ok(messages) => self.source = Source::History { messages, changes: VecDeque::new() },
            Err(error) => return Some(self.end(crate::errors::of_store(error))),
        }
        None
    }

    async fn read_ring(&mut self, cursor: u64) -> Option<Step> {
        // How far the cache is must be known before the ring is read: it holds all of that.
        let applied = self.cache.applied();
        match self.follower.read(cursor) {
            Read::Change(change, next) => {
                self.source = Source::Ring(next);
                self.deliver(&change)
            }
            Read::Behind => {
                self.source = Source::Unknown;
                None
            }
            Read::UpToDate if self.cache.is_closed() || self.follower.resource().is_retired() => {
                self.source = Source::Over;
                None
            }
            Read::UpToDate => {
                self.delivered = self.delivered.max(applied);
                self.wait().await.map(Step::Tell)
            }
        }
    }

    /// Until there is something new, or it is time for a bookmark. The ring has just been read to its end.
    async fn wait(&mut self) -> Option<WatchEvent> {
        let due = self.bookmark.as_ref().and_then(|bookmark| bookmark.due);
        if let (Some(due), Some(bookmark)) = (due, &mut self.bookmark)
            && due <= clock::monotonic()
        {
            bookmark.plan(BOOKMARK_EVERY);
            let news = self.cache.applied() > bookmark.began;
            return news.then_some(WatchEvent::Bookmark { revision: self.delivered, initial_events_end: false });
        }
        let changed = match due {
            None => self.follower.changed().await,
            Some(due) => tokio::time::timeout_at(due, self.follower.changed()).await.unwrap_or(Ok(())),
        };
        if changed.is_err() {
            self.source = Source::Over;
        }
        None
    }

    async fn read_history(&mut self) -> Option<Step> {
        let Source::History { messages, changes } = &mut self.source else { return None };
        if let Some(change) = changes.pop_front() {
            return self.deliver(&change);
        }
        if let Some(cursor) = self.follower.cursor_after(self.delivered) {
            self.source = Source::Ring(cursor);
            return None;
        }
        if self.follower.resource().is_retired() {
            self.source = Source::Over;
            return None;
        }
        match messages.recv().await {
            Some(Watched::Events(events)) => {
                let kept: VecDeque<Change> = self.decode(&events);
                if let Source::History { changes, .. } = &mut self.source {
                    *changes = kept;
                }
                None
            }
            Some(Watched::Progress(revision)) => {
                self.delivered = self.delivered.max(revision);
                None
            }
            Some(Watched::Compacted(oldest)) => Some(Step::Tell(self.end(too_old(self.delivered, oldest)))),
            None => Some(Step::Tell(self.end(ApiError::unavailable("the store ended the watch")))),
        }
    }

    fn decode(&self, events: &[Event]) -> VecDeque<Change> {
        events.iter().filter_map(|event| self.cache.change(self.follower.resource(), event, None)).collect()
    }

    fn deliver(&mut self, change: &Change) -> Option<Step> {
        // A watch may begin at a revision that is yet to come.
        if change.entry.revision() <= self.delivered {
            return None;
        }
        self.delivered = change.entry.revision();
        let told = seen_by(&self.selection, change)?;
        Some(if self.conversion.is_some() { Step::Convert(change.clone()) } else { Step::Tell(told) })
    }

    fn end(&mut self, error: ApiError) -> WatchEvent {
        self.source = Source::Over;
        WatchEvent::Error(error)
    }
}

/// What a watch tells besides changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bookmarks {
    None,
    Regular,
    /// One more when the initial events are through.
    InitialEventsEnd,
}

/// A change as it looks through a selection: objects that begin to match are added, those that cease to
/// are deleted.
fn seen_by(selection: &Selection, change: &Change) -> Option<WatchEvent> {
    if change.deleted {
        return selection.pick(&change.entry).map(WatchEvent::Deleted);
    }
    let before = change.previous.as_ref().and_then(|previous| selection.pick(previous));
    match (before, selection.pick(&change.entry)) {
        (None, None) => None,
        (None, Some(now)) => Some(WatchEvent::Added(now)),
        (Some(_), Some(now)) => Some(WatchEvent::Modified(now)),
        (Some(before), None) => Some(WatchEvent::Deleted(Arc::new(before.at_revision(change.entry.revision())))),
    }
}

/// upstream: staging/src/k8s.io/apiserver/pkg/storage/cacher
fn too_old(revision: Revision, oldest: Revision) -> ApiError {
    ApiError::expired(format!("too old resource version: {revision} ({})", oldest.saturating_sub(1)))
}
