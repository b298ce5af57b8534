//! Creates and deletes that were sent and are not yet in the cache.
//! (upstream: pkg/controller/controller_utils.go)
//!
//! A controller that acts on a cache behind its own writes would act twice. It notes what it sends here,
//! the watch handlers tick it off, and until then the key only reports status.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::ObjectKey;

/// After this time an expectation counts as met: the event was lost, or the write never happened.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

struct Expected {
    creations: usize,
    deletions: HashSet<String>,
    since: Instant,
}

impl Expected {
    fn is_met(&self) -> bool {
        self.creations == 0 && self.deletions.is_empty()
    }
}

/// Expectations by the key of the owner.
#[derive(Default)]
pub struct Expectations(Mutex<HashMap<ObjectKey, Expected>>);

impl Expectations {
    /// Notes that `count` objects are about to be created for `key`. Each one that fails must be taken
    /// back by [`Self::creation_observed`].
    pub fn expect_creations(&self, key: &ObjectKey, count: usize) {
        self.with(key, |expected| expected.creations += count);
    }

    /// Notes that the objects of these uids are about to be deleted. Each one that fails must be taken
    /// back by [`Self::deletion_observed`].
    pub fn expect_deletions(&self, key: &ObjectKey, uids: impl IntoIterator<Item = String>) {
        self.with(key, |expected| expected.deletions.extend(uids));
    }

    fn with(&self, key: &ObjectKey, change: impl FnOnce(&mut Expected)) {
        let new = || Expected { creations: 0, deletions: HashSet::new(), since: clock::monotonic() };
        let mut all = self.0.lock();
        let expected = all.entry(key.clone()).or_insert_with(new);
        expected.since = clock::monotonic();
        change(expected);
        // Expecting nothing must not hold the key back.
        if expected.is_met() {
            all.remove(key);
        }
    }

    pub fn creation_observed(&self, key: &ObjectKey) {
        self.lower(key, |expected| expected.creations = expected.creations.saturating_sub(1));
    }

    pub fn deletion_observed(&self, key: &ObjectKey, uid: &str) {
        self.lower(key, |expected| {
            expected.deletions.remove(uid);
        });
    }

    fn lower(&self, key: &ObjectKey, change: impl FnOnce(&mut Expected)) {
        let mut all = self.0.lock();
        let Some(expected) = all.get_mut(key) else { return };
        change(expected);
        if expected.is_met() {
            all.remove(key);
        }
    }

    /// Whether the cache holds all that was sent for `key`.
    pub fn satisfied(&self, key: &ObjectKey) -> bool {
        self.remaining(key).is_none()
    }

    /// How long to wait at most for what is still expected.
    pub fn remaining(&self, key: &ObjectKey) -> Option<Duration> {
        let mut all = self.0.lock();
        let passed = all.get(key)?.since.elapsed();
        if passed >= TIMEOUT {
            all.remove(key);
            return None;
        }
        Some(TIMEOUT - passed)
    }

    /// Forgets a key that is gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn expecting_nothing_is_satisfied_at_once() {
        let expectations = Expectations::default();
        let key = ObjectKey::new("default", "web");
        expectations.expect_deletions(&key, []);
        expectations.expect_creations(&key, 0);
        assert!(expectations.satisfied(&key));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_for_its_writes_or_for_five_minutes() {
        let expectations = Expectations::default();
        let key = ObjectKey::new("default", "web");
        assert!(expectations.satisfied(&key));

        expectations.expect_creations(&key, 2);
        expectations.expect_deletions(&key, ["u1".to_owned()]);
        expectations.creation_observed(&key);
        expectations.creation_observed(&key);
        expectations.deletion_observed(&key, "u2");
        assert!(!expectations.satisfied(&key));
        expectations.deletion_observed(&key, "u1");
        assert!(expectations.satisfied(&key));

        expectations.expect_creations(&key, 1);
        assert_eq!(expectations.remaining(&key), Some(TIMEOUT));
        tokio::time::advance(TIMEOUT).await;
        assert!(expectations.satisfied(&key));
    }
}
