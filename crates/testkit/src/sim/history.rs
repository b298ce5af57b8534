//! Everything that was written to the store, in order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use control::{meta, pods};
use k8s_openapi::api::core::v1::Pod;
use machinery::strconv::hex;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use store::{Event, Store, Watched};
use tokio::sync::Notify;

/// Leases are renewed for ever, and tell nothing.
const LEASES: &str = "/registry/leases/";
const PODS: &str = "/registry/pods/";
/// So many writes without any time between them come from loops that answer each other for ever.
const WRITES_AT_ONCE_MAX: usize = 3000;

/// Entries that a failure shows.
const TAIL: usize = 40;

/// What a write did to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Create,
    Update,
    Delete,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Since the start of the simulation.
    pub at: Duration,
    pub what: What,
    /// `/registry/pods/default/web`
    pub key: String,
    /// Of the new value.
    pub digest: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, what, key, digest } = self;
        write!(f, "{:>10.3} {what:?} {key} {digest}", at.as_secs_f64())
    }
}

/// Clones share it.
#[derive(Clone)]
pub struct History(Arc<Mutex<State>>, Arc<Notify>);

struct State {
    started: tokio::time::Instant,
    changed: tokio::time::Instant,
    /// Writes since time last moved.
    at_once: usize,
    entries: Vec<Entry>,
    /// What pods are called in tests, by uid.
    aliases: BTreeMap<String, String>,
    /// How many pods got a letter, by what stands before it.
    letters: BTreeMap<String, usize>,
    /// The label `app` of each pod that is ready, by key.
    ready: BTreeMap<String, String>,
    /// How many pods of an app were ready at the least, where that is observed.
    fewest: BTreeMap<String, usize>,
}

impl History {
    /// Follows the store until the runtime ends.
    pub async fn follow(store: Arc<dyn Store>) -> Self {
        let now = clock::monotonic();
        let state = State {
            started: now,
            changed: now,
            at_once: 0,
            entries: Vec::new(),
            aliases: BTreeMap::new(),
            letters: BTreeMap::new(),
            ready: BTreeMap::new(),
            fewest: BTreeMap::new(),
        };
        let history = Self(Arc::new(Mutex::new(state)), Arc::default());
        let mut events = store.watch("/", 0).await.expect("a store in memory keeps its history");
        let writer = history.clone();
        tokio::spawn(async move {
            while let Some(watched) = events.recv().await {
                match watched {
                    Watched::Events(events) => events.iter().for_each(|event| writer.note(event)),
                    Watched::Progress(_) => {}
                    Watched::Compacted(_) => panic!("the history is read as fast as it is made"),
                }
            }
        });
        history
    }

    fn note(&self, event: &Event) {
        let mut state = self.0.lock();
        state.note(event);
        if state.at_once == WRITES_AT_ONCE_MAX {
            self.1.notify_one();
        }
    }

    /// Lets `time` pass.
    ///
    /// # Panics
    /// If it does not, because loops keep writing.
    pub async fn pass(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.1.notified() => panic!("time stands still:\n{}", self.tail()),
        }
    }

    /// The time since anything but a lease was written.
    pub fn quiet_for(&self) -> Duration {
        self.0.lock().changed.elapsed()
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().entries.clone()
    }

    /// The newest entries, a line each.
    pub fn tail(&self) -> String {
        let state = self.0.lock();
        let from = state.entries.len().saturating_sub(TAIL);
        state.entries[from..].iter().map(|entry| format!("{entry}\n")).collect()
    }

    /// Counts the ready pods of `app` from now on.
    pub fn observe(&self, app: &str) {
        let mut state = self.0.lock();
        let count = state.count_ready(app);
        state.fewest.insert(app.to_owned(), count);
    }

    /// How many pods of `app` were ready at the least since [`Self::observe`].
    pub fn fewest_ready(&self, app: &str) -> Option<usize> {
        self.0.lock().fewest.get(app).copied()
    }

    /// A pod's name in tests: what its template's label `app` says, and a letter by the order of creation.
    /// A pod whose name was not generated keeps it.
    pub fn alias(&self, uid: &str) -> Option<String> {
        self.0.lock().aliases.get(uid).cloned()
    }
}

impl State {
    fn note(&mut self, event: &Event) {
        let now = clock::monotonic();
        let moved = self.entries.last().is_none_or(|last| self.started + last.at < now);
        self.at_once = if moved { 1 } else { self.at_once + 1 };
        if !event.key.starts_with(LEASES) {
            self.changed = now;
        }
        if event.key.starts_with(PODS) {
            self.note_pod(event);
        }
        let digest = event.value.as_ref().map(|value| hex(&Sha256::digest(value)[..4])).unwrap_or_default();
        let what = match (&event.previous, &event.value) {
            (_, None) => What::Delete,
            (None, _) => What::Create,
            _ => What::Update,
        };
        self.entries.push(Entry { at: now - self.started, what, key: event.key.to_string(), digest });
    }

    fn note_pod(&mut self, event: &Event) {
        self.ready.remove(&*event.key);
        if let Some(value) = &event.value {
            let pod: Pod = serde_json::from_slice(value).expect("the store holds pods");
            if event.previous.is_none() {
                self.name(&pod);
            }
            if pods::is_ready(&pod) {
                self.ready.insert(event.key.to_string(), app(&pod));
            }
        }
        let counts: Vec<_> =
            self.fewest.iter().map(|(app, count)| (app.clone(), self.count_ready(app).min(*count))).collect();
        self.fewest.extend(counts);
    }

    fn count_ready(&self, app: &str) -> usize {
        self.ready.values().filter(|of| *of == app).count()
    }

    fn name(&mut self, pod: &Pod) {
        let meta = &pod.metadata;
        let alias = if meta.generate_name.is_none() {
            meta.name.clone().unwrap_or_default()
        } else {
            let app = app(pod);
            let count = self.letters.entry(app.clone()).or_default();
            *count += 1;
            format!("{app}-{}", letters(*count))
        };
        self.aliases.insert(meta::uid(meta).to_owned(), alias);
    }
}

fn app(pod: &Pod) -> String {
    meta::label(&pod.metadata, "app").unwrap_or_default().to_owned()
}

/// 1 is `a`, 26 is `z`, 27 is `aa`.
fn letters(mut number: usize) -> String {
    let mut letters = Vec::new();
    while number > 0 {
        number -= 1;
        letters.push(b'a' + (number % 26) as u8);
        number /= 26;
    }
    letters.reverse();
    String::from_utf8(letters).expect("letters are ASCII")
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn the_letter_after_z_is_aa() {
        assert_eq!([1, 26, 27, 52, 53].map(letters), ["a", "z", "aa", "az", "ba"]);
    }
}
