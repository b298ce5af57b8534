//! Keys that are watched one by one, and where their changes lie in the ring.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

/// The keys that somebody watches alone.
#[derive(Default)]
pub(super) struct Followed(HashMap<Box<str>, Key>);

pub(super) struct Key {
    watchers: usize,
    moved: watch::Sender<u64>,
    /// Changes at this cursor and later are listed.
    listed_from: u64,
    /// Cursors of the key's changes that the ring still has.
    changes: VecDeque<u64>,
    /// Changes before this cursor have left the ring.
    lost_before: u64,
}

impl Followed {
    /// One more watcher of `key`; `end` is the cursor of the next change. Answers what wakes it.
    pub fn join(&mut self, key: &str, end: u64) -> watch::Receiver<u64> {
        if let Some(known) = self.0.get_mut(key) {
            known.watchers += 1;
            return known.moved.subscribe();
        }
        let (moved, woken) = watch::channel(0);
        self.0
            .insert(key.into(), Key { watchers: 1, moved, listed_from: end, changes: VecDeque::new(), lost_before: 0 });
        woken
    }

    pub fn leave(&mut self, key: &str) {
        let Some(known) = self.0.get_mut(key) else { return };
        known.watchers -= 1;
        if known.watchers == 0 {
            self.0.remove(key);
        }
    }

    pub fn get(&self, key: &str) -> Option<&Key> {
        self.0.get(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Key> {
        self.0.get_mut(key)
    }

    /// Notes a change that the ring takes in; answers whom to wake.
    pub fn add(&mut self, key: &str, cursor: u64) -> Option<watch::Sender<u64>> {
        let known = self.0.get_mut(key)?;
        known.changes.push_back(cursor);
        Some(known.moved.clone())
    }

    /// Notes a change that the ring lets go.
    pub fn drop_oldest(&mut self, key: &str, cursor: u64) {
        let Some(known) = self.0.get_mut(key) else { return };
        if known.changes.front() == Some(&cursor) {
            known.changes.pop_front();
        }
        known.lost_before = cursor + 1;
    }

    /// The ring begins anew at this cursor, and nobody knows what happened before.
    pub fn restart(&mut self, cursor: u64) {
        for known in self.0.values_mut() {
            known.changes.clear();
            (known.listed_from, known.lost_before) = (cursor, cursor);
        }
    }

    pub fn wake_all(&self) {
        self.0.values().for_each(|known| known.moved.send_modify(|moved| *moved += 1));
    }
}

impl Key {
    /// The cursor from which changes are not listed, though the ring may have them.
    pub fn listed_from(&self) -> u64 {
        self.listed_from
    }

    /// Lists changes that came before those already listed; `earlier` are their cursors, the oldest first.
    pub fn list_from(&mut self, from: u64, earlier: impl DoubleEndedIterator<Item = u64>) {
        earlier.rev().for_each(|cursor| self.changes.push_front(cursor));
        self.listed_from = from;
    }

    /// The first change at `cursor` or later; an error when some may have been lost.
    pub fn next(&self, cursor: u64) -> Result<Option<u64>, Lost> {
        if cursor < self.lost_before {
            return Err(Lost);
        }
        let read = self.changes.partition_point(|change| *change < cursor);
        Ok(self.changes.get(read).copied())
    }
}

/// Changes have left the ring unread.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

#[cfg(test)]
mod tests {
    use super::*;

    fn followed() -> (Followed, watch::Receiver<u64>) {
        let mut followed = Followed::default();
        let woken = followed.join("a", 10);
        (followed, woken)
    }

    #[test]
    fn changes_of_other_keys_are_not_noted() {
        let (mut followed, _woken) = followed();
        assert!(followed.add("b", 10).is_none());
        assert!(followed.add("a", 11).is_some());
        let key = followed.get("a").unwrap();
        assert_eq!((key.next(10), key.next(12)), (Ok(Some(11)), Ok(None)));
    }

    #[test]
    fn what_leaves_the_ring_unread_is_missed() {
        let (mut followed, _woken) = followed();
        followed.add("a", 11);
        followed.drop_oldest("b", 10);
        followed.drop_oldest("a", 11);
        let key = followed.get("a").unwrap();
        assert_eq!((key.next(10), key.next(11), key.next(12)), (Err(Lost), Err(Lost), Ok(None)));
    }

    #[test]
    fn earlier_changes_come_first() {
        let (mut followed, _woken) = followed();
        followed.add("a", 12);
        followed.get_mut("a").unwrap().list_from(3, [4, 7].into_iter());
        let key = followed.get("a").unwrap();
        assert_eq!((key.next(3), key.next(5), key.next(8)), (Ok(Some(4)), Ok(Some(7)), Ok(Some(12))));
    }

    #[test]
    fn a_key_is_forgotten_with_its_last_watcher() {
        let (mut followed, _woken) = followed();
        let _second = followed.join("a", 11);
        followed.leave("a");
        assert!(followed.get("a").is_some());
        followed.leave("a");
        assert!(followed.get("a").is_none());
    }
}
