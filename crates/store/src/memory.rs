//! The engine for tests and simulations: everything in memory, nothing survives.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::hub::{History, Hub};
use crate::{Error, Event, Expect, KeyValue, Page, Result, Revision, Store, Watched, Write};

/// The revision of a store that nothing was written to.
const EMPTY: Revision = 1;

/// Clones share one store.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Shared>,
    hub: Arc<Hub>,
}

struct Shared(Mutex<State>);

struct State {
    revision: Revision,
    /// History before this is gone.
    compacted: Revision,
    /// What each key held, oldest first; nothing after a deletion.
    keys: BTreeMap<Box<str>, Vec<Version>>,
    log: BTreeMap<Revision, Event>,
}

struct Version {
    revision: Revision,
    held: Option<KeyValue>,
}

impl Memory {
    pub fn new() -> Self {
        let state = State { revision: EMPTY, compacted: 0, keys: BTreeMap::new(), log: BTreeMap::new() };
        Self { state: Arc::new(Shared(Mutex::new(state))), hub: Arc::new(Hub::new(EMPTY)) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The revision to read at, if it can be.
    fn readable(&self, at: Option<Revision>) -> Result<Revision> {
        let at = at.unwrap_or(self.revision);
        if at > self.revision {
            return Err(Error::Future(self.revision));
        }
        if at < self.compacted { Err(Error::Compacted(self.compacted)) } else { Ok(at) }
    }

    fn apply(&mut self, write: Write) -> Result<Event> {
        let previous = self.keys.get(&write.key).and_then(|versions| held_at(versions, self.revision)).cloned();
        if !holds(write.expect, previous.as_ref()) || (write.value.is_none() && previous.is_none()) {
            return Err(Error::Conflict(previous));
        }
        self.revision += 1;
        let revision = self.revision;
        let create_revision = previous.as_ref().map_or(revision, |previous| previous.create_revision);
        let held = write.value.clone().map(|value| KeyValue {
            key: write.key.clone(),
            value,
            create_revision,
            mod_revision: revision,
        });
        let create_revision = held.as_ref().map_or(0, |held| held.create_revision);
        self.keys.entry(write.key.clone()).or_default().push(Version { revision, held });
        let event = Event { key: write.key, revision, value: write.value, create_revision, previous };
        self.log.insert(revision, event.clone());
        Ok(event)
    }

    fn compact(&mut self, revision: Revision) {
        self.compacted = revision.min(self.revision).max(self.compacted);
        let kept = self.compacted;
        self.log = self.log.split_off(&kept);
        for versions in self.keys.values_mut() {
            let superseded = versions.iter().filter(|version| version.revision < kept).count().saturating_sub(1);
            versions.drain(..superseded);
        }
        self.keys.retain(|_, versions| {
            versions.len() > 1 || versions.iter().any(|version| version.held.is_some() || version.revision >= kept)
        });
    }
}

fn holds(expect: Expect, held: Option<&KeyValue>) -> bool {
    match expect {
        Expect::Absent => held.is_none(),
        Expect::ModRevision(revision) => held.is_some_and(|held| held.mod_revision == revision),
    }
}

fn held_at(versions: &[Version], at: Revision) -> Option<&KeyValue> {
    versions.iter().rev().find(|version| version.revision <= at)?.held.as_ref()
}

#[async_trait]
impl History for Shared {
    async fn history(&self, from: Revision, limit: usize) -> Result<Vec<Event>> {
        let state = self.lock();
        if from < state.compacted {
            return Err(Error::Compacted(state.compacted));
        }
        Ok(state.log.range(from..).take(limit).map(|(_, event)| event.clone()).collect())
    }
}

#[async_trait]
impl Store for Memory {
    async fn revision(&self) -> Result<Revision> {
        Ok(self.state.lock().revision)
    }

    async fn get(&self, key: &str, at: Option<Revision>) -> Result<Option<KeyValue>> {
        let state = self.state.lock();
        let at = state.readable(at)?;
        Ok(state.keys.get(key).and_then(|versions| held_at(versions, at)).cloned())
    }

    async fn range(&self, range: Range<String>, limit: usize, at: Option<Revision>) -> Result<Page> {
        let state = self.state.lock();
        let revision = state.readable(at)?;
        let bounds = Range { start: range.start.into_boxed_str(), end: range.end.into_boxed_str() };
        let mut held = state.keys.range(bounds).filter_map(|(_, versions)| held_at(versions, revision));
        let limit = if limit == 0 { usize::MAX } else { limit };
        let items = held.by_ref().take(limit).cloned().collect();
        Ok(Page { items, revision, more: held.next().is_some() })
    }

    async fn count(&self, range: Range<String>, at: Option<Revision>) -> Result<usize> {
        Ok(self.range(range, 0, at).await?.items.len())
    }

    async fn write(&self, write: Write) -> Result<Revision> {
        let mut state = self.state.lock();
        let event = state.apply(write)?;
        self.hub.publish(std::slice::from_ref(&event));
        Ok(event.revision)
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<mpsc::Receiver<Watched>> {
        Ok(self.hub.watch(self.state.clone(), prefix, from))
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let mut state = self.state.lock();
        state.compact(revision);
        self.hub.forget(state.compacted);
        Ok(())
    }

    async fn lift(&self, revision: Revision) -> Result<()> {
        let mut state = self.state.lock();
        if revision > state.revision {
            state.revision = revision;
            state.compact(revision);
            self.hub.restart(revision);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::contract_tests!(async || Box::new(Memory::new()));
}
