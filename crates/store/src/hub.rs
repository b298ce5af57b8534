//! Carries committed events to watchers: past ones from the engine's history, then new ones as they come.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::{Error, Event, Result, Revision, Watched};

/// Events kept in memory, so that a watcher can step from history to the present.
const RING_EVENTS: usize = 1024;
/// Bytes of values kept in memory with them.
const RING_BYTES: usize = 1 << 20;
/// Messages that wait for a watcher before it is cut off; each holds the events of one commit.
const CHANNEL: usize = 1024;
/// Events read from history at a time.
const HISTORY_PAGE: usize = 512;
/// Pages of history that wait for a watcher before the next is read.
const PAGES_AHEAD: usize = 1;

/// Where an engine keeps what happened.
#[async_trait]
pub(crate) trait History: Send + Sync + 'static {
    /// Events from `from` on in order, never half a revision. Fewer than `limit` only when there are no more; an
    /// engine that reads them in larger pieces may answer more.
    async fn history(&self, from: Revision, limit: usize) -> Result<Vec<Event>>;
}

/// The meeting point of one writer and many watchers.
pub(crate) struct Hub(Mutex<State>);

struct State {
    /// The newest revision published.
    revision: Revision,
    /// The ring holds every event after this revision, and maybe some of it: one write of etcd may change many keys.
    since: Revision,
    ring: VecDeque<Event>,
    ring_bytes: usize,
    watchers: Vec<Watcher>,
}

struct Watcher {
    prefix: Box<str>,
    from: Revision,
    messages: mpsc::Sender<Watched>,
    /// Room kept for telling the watcher that it is cut off.
    last_words: mpsc::OwnedPermit<Watched>,
}

impl Hub {
    pub fn new(revision: Revision) -> Self {
        Self(Mutex::new(State::at(revision)))
    }

    /// Delivers one commit, in the order of its revisions.
    pub fn publish(&self, events: &[Event]) {
        let Some(last) = events.last() else { return };
        let mut state = self.state();
        state.revision = last.revision;
        let watchers = std::mem::take(&mut state.watchers);
        state.watchers = watchers.into_iter().filter_map(|watcher| watcher.deliver(events)).collect();
        events.iter().for_each(|event| state.remember(event.clone()));
    }

    /// History before `revision` is gone: watches that start there must learn it from the engine.
    pub fn forget(&self, revision: Revision) {
        let mut state = self.state();
        while state.ring.front().is_some_and(|event| event.revision < revision) {
            state.forget_oldest();
        }
        state.since = state.since.max(revision.saturating_sub(1));
    }

    /// What happened up to `revision` was missed: all watchers are cut off, and later ones begin from there.
    pub fn restart(&self, revision: Revision) {
        let before = std::mem::replace(&mut *self.state(), State::at(revision));
        before.watchers.into_iter().for_each(|watcher| watcher.cut_off(revision));
    }

    /// Starts a watch; what lies further back than the ring is read from `history` in a task of its own.
    pub fn watch(self: &Arc<Self>, history: Arc<dyn History>, prefix: &str, from: Revision) -> mpsc::Receiver<Watched> {
        let (messages, receiver) = mpsc::channel(CHANNEL);
        let last_words = messages.clone().try_reserve_owned().expect("the channel is empty");
        let watcher = Watcher { prefix: prefix.into(), from, messages, last_words };
        if let Some(watcher) = self.join(watcher) {
            tokio::spawn(catch_up(Arc::downgrade(self), history, watcher));
        }
        receiver
    }

    /// Makes `watcher` follow new events; hands it back when it is too far behind for that.
    fn join(&self, watcher: Watcher) -> Option<Watcher> {
        let mut state = self.state();
        if watcher.from <= state.since {
            return Some(watcher);
        }
        let missed = state.ring.iter().filter(|event| watcher.wants(event)).cloned().collect();
        let revision = state.revision;
        state.watchers.extend(watcher.tell(missed, revision));
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn at(revision: Revision) -> Self {
        Self { revision, since: revision, ring: VecDeque::new(), ring_bytes: 0, watchers: Vec::new() }
    }

    fn remember(&mut self, event: Event) {
        self.ring_bytes += size(&event);
        self.ring.push_back(event);
        while self.ring.len() > RING_EVENTS || self.ring_bytes > RING_BYTES {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.ring.pop_front() {
            self.ring_bytes -= size(&oldest);
            self.since = oldest.revision;
        }
    }
}

fn size(event: &Event) -> usize {
    let previous = event.previous.as_ref().map_or(0, |previous| previous.value.len());
    event.key.len() + event.value.as_ref().map_or(0, |value| value.len()) + previous
}

impl Watcher {
    fn wants(&self, event: &Event) -> bool {
        event.revision >= self.from && event.key.starts_with(&*self.prefix)
    }

    /// Sends what concerns the watcher of a commit.
    fn deliver(self, events: &[Event]) -> Option<Self> {
        let wanted = events.iter().filter(|event| self.wants(event)).cloned().collect();
        let revision = events.last().map_or(0, |event| event.revision);
        self.tell(wanted, revision)
    }

    /// Sends events, and how far the watcher has come if that is further; gives it up when it does not read.
    fn tell(self, events: Vec<Event>, revision: Revision) -> Option<Self> {
        let reached = events.last().map(|event| event.revision);
        let watcher = if events.is_empty() { self } else { self.send(Watched::Events(events))? };
        if reached.is_some_and(|reached| reached >= revision) {
            return Some(watcher);
        }
        watcher.send(Watched::Progress(revision))
    }

    fn send(self, message: Watched) -> Option<Self> {
        match self.messages.try_send(message) {
            Ok(()) => Some(self),
            Err(TrySendError::Full(message)) => {
                self.cut_off(first_revision(&message));
                None
            }
            Err(TrySendError::Closed(_)) => None,
        }
    }

    fn cut_off(self, oldest: Revision) {
        self.last_words.send(Watched::Compacted(oldest));
    }
}

fn first_revision(message: &Watched) -> Revision {
    match message {
        Watched::Events(events) => events.first().map_or(0, |event| event.revision),
        Watched::Progress(revision) | Watched::Compacted(revision) => *revision,
    }
}

/// Reads history until the watcher is near enough to the present to join.
async fn catch_up(hub: std::sync::Weak<Hub>, history: Arc<dyn History>, mut watcher: Watcher) {
    loop {
        // History is read as fast as the watcher reads it, so that a slow one holds little of it.
        if watcher.messages.reserve_many(CHANNEL - 1 - PAGES_AHEAD).await.is_err() {
            return;
        }
        // Everything published by now is in the history that is read next.
        let Some(published) = hub.upgrade().map(|hub| hub.state().revision) else { return };
        let events = match history.history(watcher.from, HISTORY_PAGE).await {
            Ok(events) => events,
            Err(Error::Compacted(oldest)) => {
                watcher.cut_off(oldest);
                return;
            }
            Err(error) => {
                tracing::error!(%error, from = watcher.from, "watch ends: its history can not be read");
                return;
            }
        };
        let next = next_revision(&events, published).max(watcher.from);
        let wanted: Vec<Event> = events.into_iter().filter(|event| watcher.wants(event)).collect();
        if !wanted.is_empty() && watcher.messages.send(Watched::Events(wanted)).await.is_err() {
            return;
        }
        watcher.from = next;
        let Some(hub) = hub.upgrade() else { return };
        match hub.join(watcher) {
            Some(behind) => watcher = behind,
            None => return,
        }
    }
}

/// Where to read on after a page of history.
fn next_revision(page: &[Event], published: Revision) -> Revision {
    match page.last() {
        Some(last) if page.len() >= HISTORY_PAGE => last.revision + 1,
        Some(last) => published.max(last.revision) + 1,
        None => published + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told(Vec<Event>);

    #[async_trait]
    impl History for Told {
        async fn history(&self, from: Revision, _: usize) -> Result<Vec<Event>> {
            Ok(self.0.iter().filter(|event| event.revision >= from).cloned().collect())
        }
    }

    #[tokio::test]
    async fn a_watch_begins_with_all_of_a_write_of_which_the_ring_holds_a_part() {
        let event = |number: usize| {
            let key = format!("/{number}").into();
            Event { key, revision: 7, value: None, create_revision: 0, previous: None }
        };
        let written: Vec<Event> = (0..2 * RING_EVENTS).map(event).collect();
        let hub = Arc::new(Hub::new(6));
        hub.publish(&written);
        let mut watch = hub.watch(Arc::new(Told(written.clone())), "/", 7);
        assert_eq!(watch.recv().await, Some(Watched::Events(written)));
    }
}
