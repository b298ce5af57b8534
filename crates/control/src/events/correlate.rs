//! Which events are new, which only count up, and which are too many. (upstream: client-go/tools/record)
//!
//! The same event again raises the count of the first. More than ten different messages for one reason
//! within ten minutes share one event. And an object may cause 25 events at once, then one in five minutes.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;

use super::EventType;

/// Different messages of one reason before they share an event.
const SIMILAR_MAX: usize = 10;
const SIMILAR_INTERVAL: SignedDuration = SignedDuration::from_secs(600);
const SPAM_BURST: f64 = 25.0;
/// Events for each second that one object may cause after the burst.
const SPAM_RATE: f64 = 1.0 / 300.0;
/// Entries that each of the three memories holds; the oldest go first.
const MEMORY_MAX: usize = 4096;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub object: ObjectReference,
    pub type_: EventType,
    pub reason: String,
    pub message: String,
    pub at: Timestamp,
}

/// What to do with a note.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Drop,
    Create { message: String },
    Count { name: String, count: i32, message: String },
}

type ObjectId = (Option<String>, Option<String>, Option<String>, Option<String>, Option<String>);
/// Everything of a note but its message.
type ReasonId = (ObjectId, EventType, String);
type NoteId = (ReasonId, String);

fn object_id(object: &ObjectReference) -> ObjectId {
    let ObjectReference { kind, namespace, name, uid, field_path, .. } = object.clone();
    (kind, namespace, name, uid, field_path)
}

fn reason_id(note: &Note) -> ReasonId {
    (object_id(&note.object), note.type_, note.reason.clone())
}

/// A map that drops its older half when it is full.
struct Memory<K, V>(HashMap<K, (Timestamp, V)>);

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone, V> Memory<K, V> {
    fn get_or(&mut self, key: &K, at: Timestamp, new: impl FnOnce() -> V) -> &mut V {
        if self.0.len() >= MEMORY_MAX && !self.0.contains_key(key) {
            let mut ages: Vec<Timestamp> = self.0.values().map(|(used, _)| *used).collect();
            let (_, median, _) = ages.select_nth_unstable(MEMORY_MAX / 2);
            let median = *median;
            self.0.retain(|_, (used, _)| *used > median);
        }
        let entry = self.0.entry(key.clone()).or_insert_with(|| (at, new()));
        entry.0 = at;
        &mut entry.1
    }
}

struct Similar {
    messages: HashSet<String>,
    last: Timestamp,
}

struct Bucket {
    tokens: f64,
    filled: Timestamp,
}

struct Written {
    name: String,
    count: i32,
}

#[derive(Default)]
pub struct Correlator {
    similar: Memory<ReasonId, Similar>,
    buckets: Memory<ObjectId, Bucket>,
    written: Memory<NoteId, Option<Written>>,
}

impl Correlator {
    pub fn judge(&mut self, note: &Note) -> Verdict {
        let (id, message) = self.aggregate(note);
        if !self.admits(note) {
            return Verdict::Drop;
        }
        match self.written.get_or(&id, note.at, || None) {
            Some(written) => {
                written.count += 1;
                Verdict::Count { name: written.name.clone(), count: written.count, message }
            }
            None => Verdict::Create { message },
        }
    }

    /// Notes that the event was created under `name`, for the counts that follow.
    pub fn created(&mut self, note: &Note, name: String) {
        let id = self.current_id(note);
        *self.written.get_or(&id, note.at, || None) = Some(Written { name, count: 1 });
    }

    fn aggregate(&mut self, note: &Note) -> (NoteId, String) {
        let new = || Similar { messages: HashSet::new(), last: note.at };
        let similar = self.similar.get_or(&reason_id(note), note.at, new);
        if note.at.duration_since(similar.last) > SIMILAR_INTERVAL {
            similar.messages.clear();
        }
        similar.last = note.at;
        if similar.messages.len() < SIMILAR_MAX {
            similar.messages.insert(note.message.clone());
        }
        let id = self.current_id(note);
        let message = if id.1.is_empty() {
            format!("(combined from similar events): {}", note.message)
        } else {
            note.message.clone()
        };
        (id, message)
    }

    /// The identity without a message once there were too many different ones.
    fn current_id(&self, note: &Note) -> NoteId {
        let id = reason_id(note);
        let crowded = self.similar.0.get(&id).is_some_and(|(_, similar)| similar.messages.len() >= SIMILAR_MAX);
        let message = if crowded { String::new() } else { note.message.clone() };
        (id, message)
    }

    fn admits(&mut self, note: &Note) -> bool {
        let new = || Bucket { tokens: SPAM_BURST, filled: note.at };
        let bucket = self.buckets.get_or(&object_id(&note.object), note.at, new);
        let passed = note.at.duration_since(bucket.filled).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * SPAM_RATE).min(SPAM_BURST);
        bucket.filled = note.at;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(message: &str, second: i64) -> Note {
        Note {
            object: ObjectReference { name: Some("web".to_owned()), ..ObjectReference::default() },
            type_: EventType::Normal,
            reason: "Pulled".to_owned(),
            message: message.to_owned(),
            at: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn many_messages_of_one_reason_share_an_event() {
        let mut correlator = Correlator::default();
        for i in 0..9 {
            let note = note(&format!("image {i}"), i);
            assert_eq!(correlator.judge(&note), Verdict::Create { message: note.message.clone() });
            correlator.created(&note, format!("e{i}"));
        }
        let tenth = note("image 9", 10);
        let message = "(combined from similar events): image 9".to_owned();
        assert_eq!(correlator.judge(&tenth), Verdict::Create { message });
        correlator.created(&tenth, "shared".to_owned());
        let message = "(combined from similar events): image 10".to_owned();
        let count = Verdict::Count { name: "shared".to_owned(), count: 2, message };
        assert_eq!(correlator.judge(&note("image 10", 11)), count);
    }

    #[test]
    fn an_object_may_cause_25_events_and_then_one_in_five_minutes() {
        let mut correlator = Correlator::default();
        let dropped = |correlator: &mut Correlator, second| correlator.judge(&note("again", second)) == Verdict::Drop;
        assert!((0..25).all(|_| !dropped(&mut correlator, 0)));
        assert!(dropped(&mut correlator, 1));
        assert!(!dropped(&mut correlator, 301));
        assert!(dropped(&mut correlator, 302));
    }
}
