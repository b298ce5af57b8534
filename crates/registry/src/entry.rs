//! One object as the cache keeps it: encoded once in each format, read by everyone.

use std::collections::BTreeMap;
use std::fmt;
use std::ptr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kinds::KindDef;
use machinery::protobuf::{self, ENVELOPE_TAIL};
use machinery::{ApiError, Object};
use parking_lot::Mutex;
use store::Revision;
use tokio::sync::watch;

/// An object at one revision, or at revision zero when a dry run did not write it. Its JSON carries the resource
/// version; what selectors look at is extracted on first use.
pub struct Entry {
    key: Box<str>,
    /// Where the namespace, or the name of an object of cluster scope, starts in `key`.
    prefix: u16,
    kind: &'static KindDef,
    revision: Revision,
    /// The JSON, and [`EVENT_TAIL`] behind it.
    json: Bytes,
    /// The protobuf message, and [`ENVELOPE_TAIL`] behind it.
    protobuf: OnceLock<Bytes>,
    marks: Marks,
    selectable: OnceLock<Box<Selectable>>,
    /// What webhooks made of it.
    converted: OnceLock<Box<Mutex<Converted>>>,
}

/// Places in the JSON of an entry; zero for what is not there.
#[derive(Clone, Copy, Default)]
struct Marks {
    /// Where the digits of the resource version start.
    version: u32,
    /// Where the key `kind` starts, if it stands before the metadata.
    kind: u32,
}

/// What webhooks made of an entry, each of another version, and what they are being asked for.
#[derive(Default)]
struct Converted {
    known: Vec<Arc<Entry>>,
    asked: Vec<(&'static KindDef, Answered)>,
}

/// Tells when a webhook has answered, and its error if it failed. Who asked it and gave up tells nothing.
pub(crate) type Answered = watch::Receiver<Option<ApiError>>;

/// Who asks a webhook for the conversion of an entry that is not known.
pub(crate) enum Claim {
    Known,
    /// Whoever got this asks.
    Own,
    /// Somebody does.
    Others(Answered),
}

/// What selectors may look at.
#[derive(Debug, PartialEq, Eq)]
pub struct Selectable {
    pub labels: BTreeMap<String, String>,
    /// The kind's selectable fields, besides name and namespace.
    fields: Vec<(&'static str, String)>,
}

const FIELD: &[u8] = b"\"resourceVersion\":\"";
const METADATA: &[u8] = b"\"metadata\":{";
const API_VERSION: &[u8] = b"\"apiVersion\":";
const KIND: &[u8] = b"\"kind\":";

/// What closes a watch event around the object: kept with it, so that events share the bytes.
const EVENT_TAIL: &[u8] = b"}\n";

impl Entry {
    /// An entry of the stored version, from JSON that holds no resource version.
    pub fn new(kind: &'static KindDef, key: &str, revision: Revision, stored: &[u8]) -> Self {
        Self::spliced(kind, key, crate::keys::prefix_len(kind), revision, stored)
    }

    /// The same object seen as another kind: another version of it, or its Scale.
    pub fn seen_as(&self, kind: &'static KindDef, mut object: Object) -> Self {
        object.remove(&["metadata", "resourceVersion"]);
        Self::spliced(kind, &self.key, usize::from(self.prefix), self.revision, &object.to_bytes())
    }

    fn spliced(kind: &'static KindDef, key: &str, prefix: usize, revision: Revision, stored: &[u8]) -> Self {
        // What was not written yet has no version to show.
        let start = metadata_start(stored).filter(|_| revision > 0);
        let Some(at) = start else {
            return Self::raw(kind, key, prefix, revision, [stored, EVENT_TAIL].concat(), Marks::default());
        };
        let kind_key = key_start(&stored[..at], KIND).unwrap_or_default();
        let marks = Marks { version: (at + FIELD.len()) as u32, kind: kind_key as u32 };
        let close: &[u8] = if stored.get(at) == Some(&b'}') { b"\"" } else { b"\"," };
        let digits = revision.to_string();
        let parts = [&stored[..at], FIELD, digits.as_bytes(), close, &stored[at..], EVENT_TAIL];
        Self::raw(kind, key, prefix, revision, parts.concat(), marks)
    }

    /// `json` has its tail already.
    fn raw(kind: &'static KindDef, key: &str, prefix: usize, revision: Revision, json: Vec<u8>, marks: Marks) -> Self {
        Self {
            key: key.into(),
            prefix: prefix as u16,
            kind,
            revision,
            json: Bytes::from(json),
            protobuf: OnceLock::new(),
            marks,
            selectable: OnceLock::new(),
            converted: OnceLock::new(),
        }
    }

    /// What a webhook made of it as `kind`, if one has.
    pub(crate) fn converted(&self, kind: &'static KindDef) -> Option<Arc<Self>> {
        self.converted.get()?.lock().known(kind)
    }

    pub(crate) fn keep_converted(&self, converted: Arc<Self>) {
        let mut all = self.converted.get_or_init(Box::default).lock();
        all.asked.retain(|(asked, _)| !ptr::eq(*asked, converted.kind));
        all.known.push(converted);
    }

    /// Who asks a webhook for this as `kind`: the caller, who tells by `answered`, unless somebody does already.
    pub(crate) fn claim(&self, kind: &'static KindDef, answered: &Answered) -> Claim {
        let mut converted = self.converted.get_or_init(Box::default).lock();
        if converted.known(kind).is_some() {
            return Claim::Known;
        }
        // Those who gave up have dropped their end.
        converted.asked.retain(|(_, answered)| answered.has_changed().is_ok());
        if let Some((_, others)) = converted.asked.iter().find(|(asked, _)| ptr::eq(*asked, kind)) {
            return Claim::Others(others.clone());
        }
        converted.asked.push((kind, answered.clone()));
        Claim::Own
    }

    /// The same object as a later write left it: what a deletion delivers.
    pub fn at_revision(&self, revision: Revision) -> Self {
        let start = self.marks.version as usize;
        let old = self.revision.to_string().len();
        let json = match start {
            0 => self.json.to_vec(),
            _ => [&self.json[..start], revision.to_string().as_bytes(), &self.json[start + old..]].concat(),
        };
        let later = Self::raw(self.kind, &self.key, usize::from(self.prefix), revision, json, self.marks);
        let converted = self.converted.get().map(|converted| converted.lock().known.clone()).unwrap_or_default();
        converted.iter().for_each(|entry| later.keep_converted(entry.at_revision(revision).into()));
        later
    }

    /// The key in the store.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The kind in whose version the JSON is.
    pub fn kind(&self) -> &'static KindDef {
        self.kind
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The object with its resource version; shared, not copied.
    pub fn json(&self) -> Bytes {
        self.json.slice(..self.json.len() - EVENT_TAIL.len())
    }

    /// The same with what ends a watch event: a brace and a line break.
    pub fn json_to_event_end(&self) -> Bytes {
        self.json.clone()
    }

    /// The same, borrowed.
    fn json_bytes(&self) -> &[u8] {
        &self.json[..self.json.len() - EVENT_TAIL.len()]
    }

    /// The same in the pieces that stand in a list: objects of built-in kinds leave their type to the list.
    pub fn json_in_list(&self) -> [&[u8]; 3] {
        let json = self.json_bytes();
        let untyped = self.kind.custom.is_none().then(|| without_type(json, self.marks.kind as usize)).flatten();
        untyped.unwrap_or([json, b"", b""])
    }

    /// The object's metadata as JSON.
    pub fn metadata_json(&self) -> &[u8] {
        let json = self.json_bytes();
        metadata_start(json).map_or(b"{}", |start| &json[start - 1..object_end(json, start)])
    }

    /// The object's protobuf message, without envelope: made on first use, then shared. Of a kind without a
    /// message of its own it holds the metadata alone.
    pub fn protobuf(&self) -> Bytes {
        let whole = self.protobuf_to_envelope_end();
        whole.slice(..whole.len() - ENVELOPE_TAIL.len())
    }

    /// The same with what ends its envelope.
    pub fn protobuf_to_envelope_end(&self) -> Bytes {
        let made = self.protobuf.get_or_init(|| {
            let object = self.object();
            let mut bytes = match schema::message(self.kind.schema) {
                Some(message) => protobuf::encode_message(&object.0, message),
                None => protobuf::encode_metadata(&object.0),
            };
            bytes.extend_from_slice(ENVELOPE_TAIL);
            Bytes::from(bytes)
        });
        made.clone()
    }

    /// The protobuf message of a PartialObjectMetadata: the first field of every object.
    pub fn metadata_protobuf(&self) -> Bytes {
        let whole = self.protobuf();
        let length = protobuf::first_field(&whole);
        whole.slice(..length)
    }

    /// The object as a tree. Parses: keep it out of hot paths.
    pub fn object(&self) -> Object {
        serde_json::from_slice(self.json_bytes()).expect("entries hold JSON that this process wrote or checked")
    }

    pub fn name(&self) -> &str {
        let rest = &self.key[usize::from(self.prefix)..];
        rest.split_once('/').map_or(rest, |(_, name)| name)
    }

    /// Empty for objects of cluster scope.
    pub fn namespace(&self) -> &str {
        let rest = &self.key[usize::from(self.prefix)..];
        rest.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.selectable().labels
    }

    /// The value of a field that selectors may name.
    pub fn field(&self, name: &str) -> Option<String> {
        match name {
            "metadata.name" => Some(self.name().to_owned()),
            "metadata.namespace" => Some(self.namespace().to_owned()),
            _ => {
                let fields = &self.selectable().fields;
                fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone())
            }
        }
    }

    fn selectable(&self) -> &Selectable {
        self.selectable.get_or_init(|| {
            let object = self.object();
            Box::new(Selectable { labels: object.labels(), fields: self.kind.selectable_values(&object) })
        })
    }
}

impl Converted {
    fn known(&self, kind: &'static KindDef) -> Option<Arc<Entry>> {
        self.known.iter().find(|entry| ptr::eq(entry.kind, kind)).cloned()
    }
}

impl fmt::Debug for Entry {
    /// Objects may be secret: only their length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ({} bytes)", self.key, self.revision, self.json_bytes().len())
    }
}

/// Where the fields of the top-level `metadata` start: just behind its opening brace.
fn metadata_start(json: &[u8]) -> Option<usize> {
    key_start(json, METADATA).map(|start| start + METADATA.len())
}

/// What is around `apiVersion` and `kind`, behind each of which other fields come. `kind` is where that key starts.
fn without_type(json: &[u8], kind: usize) -> Option<[&[u8]; 3]> {
    let api_version = key_start(json.get(..kind)?, API_VERSION)?;
    let behind = |key: usize, name: &[u8]| string_end(json, key + name.len()) + "\",".len();
    Some([&json[..api_version], json.get(behind(api_version, API_VERSION)..kind)?, json.get(behind(kind, KIND)..)?])
}

/// Where a key of the object itself starts. `key` ends with what its value starts with.
fn key_start(json: &[u8], key: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    while at < json.len() {
        match json[at] {
            b'"' if depth == 1 && json[at..].starts_with(key) => return Some(at),
            b'"' => at = string_end(json, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Just behind the closing brace of the object whose fields start at `start`.
fn object_end(json: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (1usize, start);
    while depth > 0 && at < json.len() {
        match json[at] {
            b'"' => at = string_end(json, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The closing quote of the string that opens at `open`.
fn string_end(json: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: KindDef = KindDef { kind: "ConfigMap", resource: "configmaps", ..KindDef::PLAIN };

    fn entry(json: &str) -> Entry {
        Entry::new(&PLAIN, "/registry/configmaps/default/a", 7, json.as_bytes())
    }

    #[test]
    fn the_resource_version_is_spliced_into_the_top_metadata_only() {
        let stored = r#"{"data":{"metadata\":{":"\"metadata\":{","x":"\\"},"metadata":{"name":"a"}}"#;
        let entry = entry(stored);
        assert_eq!(entry.object().resource_version(), "7");
        assert_eq!(entry.object().name(), "a");
        let later = entry.at_revision(1234);
        assert_eq!(later.object().resource_version(), "1234");
        assert_eq!(later.at_revision(8).object().resource_version(), "8");
    }

    #[test]
    fn empty_metadata_takes_no_comma() {
        assert_eq!(entry(r#"{"metadata":{}}"#).json(), r#"{"metadata":{"resourceVersion":"7"}}"#);
        assert_eq!(entry(r#"{"spec":{"metadata":{}}}"#).json(), r#"{"spec":{"metadata":{}}}"#);
    }

    #[test]
    fn metadata_is_cut_out_of_what_is_there() {
        let stored = r#"{"data":{"x":"}"},"metadata":{"annotations":{"a":"}\"{"},"name":"a"},"z":[]}"#;
        let wanted = r#"{"resourceVersion":"7","annotations":{"a":"}\"{"},"name":"a"}"#;
        assert_eq!(std::str::from_utf8(entry(stored).metadata_json()).unwrap(), wanted);
        assert_eq!(entry("{}").metadata_json(), b"{}");
    }

    #[test]
    fn in_a_list_a_built_in_object_has_no_type() {
        let pieces = |entry: &Entry| String::from_utf8(entry.json_in_list().concat()).unwrap();
        for (stored, wanted) in [
            (
                r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#,
                r#"{"metadata":{"resourceVersion":"7","name":"a"}}"#,
            ),
            (
                r#"{"action":"\"kind\":","apiVersion":"v1","data":{"kind":"x"},"kind":"ConfigMap","last":"","metadata":{}}"#,
                r#"{"action":"\"kind\":","data":{"kind":"x"},"last":"","metadata":{"resourceVersion":"7"}}"#,
            ),
            (r#"{"data":{},"metadata":{}}"#, r#"{"data":{},"metadata":{"resourceVersion":"7"}}"#),
        ] {
            assert_eq!(pieces(&entry(stored)), wanted);
            assert_eq!(pieces(&entry(stored).at_revision(7)), wanted);
        }
    }

    #[test]
    fn a_protobuf_encoding_is_made_once() {
        let entry = entry(r#"{"metadata":{"name":"a"}}"#);
        assert_eq!(entry.protobuf().as_ptr(), entry.protobuf().as_ptr());
        assert_eq!(entry.protobuf(), entry.metadata_protobuf());
    }

    #[test]
    fn names_come_from_the_key() {
        let entry = entry(r#"{"metadata":{"labels":{"a":"b"}}}"#);
        assert_eq!((entry.namespace(), entry.name()), ("default", "a"));
        assert_eq!(entry.labels()["a"], "b");
        assert_eq!(entry.field("metadata.name").as_deref(), Some("a"));
    }
}
