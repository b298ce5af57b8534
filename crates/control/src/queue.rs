//! A work queue of keys: each key is queued once and worked on by one worker at a time.
//! (upstream: client-go/util/workqueue)

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::{Metrics, QueueMetrics};

/// The delay after a key's first failure; it doubles with each one that follows.
const BACKOFF_BASE: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1000);

struct State<K> {
    ready: VecDeque<K>,
    /// Wanted and not yet handed out, with the time of the first wish.
    dirty: HashMap<K, Instant>,
    /// Handed out, with the time of that.
    processing: HashMap<K, Instant>,
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    /// What the numbers in `delayed` stand for; a key's earliest delay wins.
    delayed_keys: HashMap<u64, K>,
    earliest: HashMap<K, (Instant, u64)>,
    next_number: u64,
    failures: HashMap<K, u32>,
    shut_down: bool,
}

struct Inner<K> {
    state: Mutex<State<K>>,
    changed: Notify,
    metrics: QueueMetrics,
}

/// A queue of keys with delays and per-key exponential back-off (5 ms to 1000 s). Cheap to clone.
///
/// It is bounded by the number of keys, since each is in it once.
pub struct WorkQueue<K>(Arc<Inner<K>>);

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    pub fn new(name: &'static str, metrics: &Metrics) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashMap::new(),
            processing: HashMap::new(),
            delayed: BinaryHeap::new(),
            delayed_keys: HashMap::new(),
            earliest: HashMap::new(),
            next_number: 0,
            failures: HashMap::new(),
            shut_down: false,
        };
        let metrics = metrics.queue(name);
        Self(Arc::new(Inner { state: Mutex::new(state), changed: Notify::new(), metrics }))
    }

    pub(crate) fn metrics(&self) -> &QueueMetrics {
        &self.0.metrics
    }

    /// Queues `key` unless it is queued. A key that is being worked on is queued when that ends.
    pub fn add(&self, key: K) {
        self.add_locked(&mut self.0.state.lock(), key);
        self.0.changed.notify_one();
    }

    fn add_locked(&self, state: &mut State<K>, key: K) {
        if state.shut_down || state.dirty.contains_key(&key) {
            return;
        }
        self.0.metrics.adds.inc();
        state.dirty.insert(key.clone(), clock::monotonic());
        if !state.processing.contains_key(&key) {
            state.ready.push_back(key);
            self.0.metrics.depth.inc();
        }
    }

    /// Queues `key` when `delay` has passed; of several delays the earliest counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let mut state = self.0.state.lock();
        let due = clock::monotonic() + delay;
        if state.shut_down || state.earliest.get(&key).is_some_and(|(earliest, _)| *earliest <= due) {
            return;
        }
        let number = state.next_number;
        state.next_number += 1;
        state.delayed.push(Reverse((due, number)));
        state.delayed_keys.insert(number, key.clone());
        if let Some((_, superseded)) = state.earliest.insert(key, (due, number)) {
            state.delayed_keys.remove(&superseded);
        }
        drop(state);
        self.0.changed.notify_one();
    }

    /// Queues `key` after its back-off, which doubles until [`Self::forget`].
    pub fn add_rate_limited(&self, key: K) {
        self.0.metrics.retries.inc();
        let delay = {
            let mut state = self.0.state.lock();
            let failures = state.failures.entry(key.clone()).or_default();
            let delay = backoff(*failures);
            *failures = failures.saturating_add(1);
            delay
        };
        self.add_after(key, delay);
    }

    /// Ends the back-off of `key`.
    pub fn forget(&self, key: &K) {
        self.0.state.lock().failures.remove(key);
    }

    /// How often `key` failed since it was last forgotten.
    pub fn failures(&self, key: &K) -> u32 {
        self.0.state.lock().failures.get(key).copied().unwrap_or_default()
    }

    /// The number of keys that wait for a worker, without delayed ones.
    pub fn len(&self) -> usize {
        self.0.state.lock().ready.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next key, or nothing once the queue is shut down. Each key got must be given back by
    /// [`Self::done`]. Safe to cancel.
    pub async fn get(&self) -> Option<K> {
        loop {
            let changed = self.0.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let next_due = {
                let mut state = self.0.state.lock();
                if state.shut_down {
                    return None;
                }
                self.release_due(&mut state);
                if let Some(key) = self.take(&mut state) {
                    return Some(key);
                }
                state.delayed.peek().map(|Reverse((due, _))| *due)
            };
            match next_due {
                Some(due) => tokio::select! { () = changed => {}, () = tokio::time::sleep_until(due) => {} },
                None => changed.await,
            }
        }
    }

    /// The next key if one is ready now.
    pub fn try_get(&self) -> Option<K> {
        let mut state = self.0.state.lock();
        self.release_due(&mut state);
        self.take(&mut state)
    }

    fn take(&self, state: &mut State<K>) -> Option<K> {
        let key = state.ready.pop_front()?;
        let now = clock::monotonic();
        if let Some(since) = state.dirty.remove(&key) {
            self.0.metrics.waited(now - since);
        }
        self.0.metrics.depth.dec();
        state.processing.insert(key.clone(), now);
        // This worker is busy from here on: another one must watch what is left, and the next delay.
        if !state.ready.is_empty() || !state.delayed.is_empty() {
            self.0.changed.notify_one();
        }
        Some(key)
    }

    fn release_due(&self, state: &mut State<K>) {
        let now = clock::monotonic();
        while let Some(Reverse((due, number))) = state.delayed.peek().copied() {
            if due > now {
                return;
            }
            state.delayed.pop();
            let Some(key) = state.delayed_keys.remove(&number) else { continue };
            state.earliest.remove(&key);
            self.add_locked(state, key);
        }
    }

    /// Ends the work on `key`; if it was added meanwhile it is queued again.
    pub fn done(&self, key: &K) {
        let mut state = self.0.state.lock();
        if let Some(since) = state.processing.remove(key) {
            self.0.metrics.worked(clock::monotonic() - since);
        }
        if state.dirty.contains_key(key) {
            state.ready.push_back(key.clone());
            self.0.metrics.depth.inc();
            drop(state);
            self.0.changed.notify_one();
        }
    }

    /// Ends all waits in [`Self::get`]; what is queued is dropped.
    pub fn shut_down(&self) {
        self.0.state.lock().shut_down = true;
        self.0.changed.notify_waiters();
    }

    /// Every key that is queued, delayed or worked on.
    #[cfg(test)]
    fn known(&self) -> std::collections::HashSet<K> {
        let state = self.0.state.lock();
        state.dirty.keys().chain(state.earliest.keys()).chain(state.processing.keys()).cloned().collect()
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF_BASE
        .checked_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .map_or(BACKOFF_MAX, |d| d.min(BACKOFF_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> WorkQueue<&'static str> {
        WorkQueue::new("test", &Metrics::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_queued_once_and_again_after_work_if_added_meanwhile() {
        let queue = queue();
        queue.add("a");
        queue.add("b");
        queue.add("a");
        assert_eq!(queue.get().await, Some("a"));
        queue.add("a");
        assert_eq!(queue.get().await, Some("b"));
        assert_eq!(queue.try_get(), None);
        queue.done(&"a");
        assert_eq!(queue.get().await, Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_delay_of_a_key_counts() {
        let queue = queue();
        let start = clock::monotonic();
        queue.add_after("a", Duration::from_secs(60));
        queue.add_after("a", Duration::from_secs(10));
        queue.add_after("a", Duration::from_secs(30));
        assert_eq!(queue.get().await, Some("a"));
        assert_eq!(start.elapsed().as_secs(), 10);
        queue.done(&"a");
        assert!(queue.known().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_worker_leaves_the_next_delay_to_another() {
        let queue = queue();
        let start = clock::monotonic();
        let other = tokio::spawn({
            let queue = queue.clone();
            async move { queue.get().await }
        });
        queue.add_after("late", Duration::from_secs(10));
        queue.add("now");
        assert_eq!(queue.get().await, Some("now"));
        assert_eq!(other.await.unwrap(), Some("late"));
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[test]
    fn back_off_doubles_from_5_ms_to_1000_s() {
        assert_eq!(backoff(0), Duration::from_millis(5));
        assert_eq!(backoff(3), Duration::from_millis(40));
        assert_eq!(backoff(18), Duration::from_secs(1000));
        assert_eq!(backoff(200), Duration::from_secs(1000));
    }

    #[tokio::test(start_paused = true)]
    async fn shutting_down_ends_the_wait() {
        let queue = queue();
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.get().await }
        });
        tokio::task::yield_now().await;
        queue.shut_down();
        assert_eq!(waiting.await.unwrap(), None);
    }
}
