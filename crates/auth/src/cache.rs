//! Answers remembered for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Holds at most so many answers; when it is full it forgets what has run out, and everything if nothing has.
pub(crate) struct Cache<K, V> {
    entries: Mutex<HashMap<K, (V, Instant)>>,
    max: usize,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub fn new(max: usize) -> Self {
        Self { entries: Mutex::default(), max }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock();
        entries.get(key).filter(|(_, until)| *until > clock::monotonic()).map(|(value, _)| value.clone())
    }

    /// A lifetime of nothing remembers nothing.
    pub fn put(&self, key: K, value: V, lifetime: Duration) {
        if lifetime.is_zero() {
            return;
        }
        let now = clock::monotonic();
        let mut entries = self.entries.lock();
        if entries.len() >= self.max {
            entries.retain(|_, (_, until)| *until > now);
        }
        if entries.len() >= self.max {
            entries.clear();
        }
        entries.insert(key, (value, now + lifetime));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_run_out_and_make_room() {
        let cache = Cache::new(2);
        cache.put(1, "one", Duration::from_secs(10));
        cache.put(2, "two", Duration::from_secs(20));
        cache.put(3, "never", Duration::ZERO);
        assert_eq!((cache.get(&1), cache.get(&2), cache.get(&3)), (Some("one"), Some("two"), None));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!((cache.get(&1), cache.get(&2)), (None, Some("two")));
        cache.put(3, "three", Duration::from_secs(10));
        assert_eq!((cache.get(&2), cache.get(&3)), (Some("two"), Some("three")), "what has run out makes room");
        cache.put(4, "four", Duration::from_secs(10));
        assert_eq!((cache.get(&2), cache.get(&4)), (None, Some("four")));
    }
}
