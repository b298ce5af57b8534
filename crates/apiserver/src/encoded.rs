//! Objects that are encoded already, joined into answers, lists and watch events without being looked at.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kinds::KindDef;
use machinery::ApiError;
use machinery::protobuf::{self, ENVELOPE_TAIL};
use registry::table::{self, MetaVersion, Rows};
use registry::{Entry, List};
use serde_json::{Value, json};

use crate::negotiate::{Accept, Format, Shape};
use crate::respond;

const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

const PARTIAL: &str = "PartialObjectMetadata";
const PARTIAL_LIST: &str = "PartialObjectMetadataList";

/// A form that needs no tree: each object in it is kept with its entry, or cut out of what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    protobuf: bool,
    /// Metadata alone, in this version.
    partial: Option<MetaVersion>,
}

impl Encoding {
    /// Nothing for forms that are made from trees: tables, YAML, indented JSON.
    pub fn of(accept: Accept) -> Option<Self> {
        let protobuf = match accept.format {
            Format::Json if !accept.pretty => false,
            Format::Protobuf => true,
            Format::Json | Format::Yaml => return None,
        };
        match accept.shape {
            Shape::Whole => Some(Self { protobuf, partial: None }),
            Shape::Metadata => Some(Self { protobuf, partial: Some(accept.version) }),
            Shape::Table | Shape::Discovery => None,
        }
    }

    pub fn format(self) -> Format {
        if self.protobuf { Format::Protobuf } else { Format::Json }
    }

    /// The object as a document of its own.
    pub fn document(self, entry: &Entry) -> Bytes {
        let item = self.item(entry);
        if !self.protobuf {
            return item;
        }
        let (api_version, kind) = self.type_of(entry.kind());
        let head = protobuf::envelope_head(&api_version, kind, item.len());
        Bytes::from([&head, item.as_ref(), ENVELOPE_TAIL].concat())
    }

    /// The object as others are put around it; JSON lists leave the type of a whole one out.
    fn item(self, entry: &Entry) -> Bytes {
        match (self.protobuf, self.partial) {
            (false, None) => entry.json(),
            (false, Some(version)) => Bytes::from([partial_head(version), entry.metadata_json(), b"}"].concat()),
            (true, None) => entry.protobuf(),
            (true, Some(_)) => entry.metadata_protobuf(),
        }
    }

    fn type_of(self, kind: &KindDef) -> (String, &str) {
        match self.partial {
            Some(version) => (version.api_version().to_owned(), PARTIAL),
            None => (kind.group_version().to_string(), kind.kind),
        }
    }

    fn list_type_of(self, kind: &KindDef) -> (String, String) {
        match self.partial {
            Some(version) => (version.api_version().to_owned(), PARTIAL_LIST.to_owned()),
            None => (kind.group_version().to_string(), kind.list_kind()),
        }
    }

    /// A watch event in two pieces, of which the second is the entry's own wherever it can be.
    pub fn event(self, event: &'static str, entry: &Entry) -> [Bytes; 2] {
        match (self.protobuf, self.partial) {
            (false, None) => [json_event_head(event), entry.json_to_event_end()],
            (true, None) => self.protobuf_event(event, entry.kind(), entry.protobuf_to_envelope_end()),
            (false, Some(_)) => json_event(event, &self.item(entry)),
            (true, Some(_)) => {
                let object = [&self.item(entry), ENVELOPE_TAIL].concat();
                self.protobuf_event(event, entry.kind(), Bytes::from(object))
            }
        }
    }

    /// The event that ends a watch.
    pub fn error_event(self, error: &ApiError) -> [Bytes; 2] {
        let status = error.status();
        if !self.protobuf {
            return json_event("ERROR", status.to_string().as_bytes());
        }
        let mut message = respond::message(respond::STATUS, &status);
        message.extend_from_slice(ENVELOPE_TAIL);
        protobuf_event("ERROR", "v1", "Status", Bytes::from(message))
    }

    fn protobuf_event(self, event: &str, kind: &KindDef, object: Bytes) -> [Bytes; 2] {
        let (api_version, kind) = self.type_of(kind);
        protobuf_event(event, &api_version, kind, object)
    }

    /// A list, piece by piece: a long list is never in memory twice.
    pub fn list(self, kind: &KindDef, list: List) -> Joined {
        let (head, tail) = self.around(kind, &list_metadata(&list), &list.items);
        Joined::new(Form::Encoded(self), head, list.items, tail)
    }

    /// What stands before and behind the items.
    fn around(self, kind: &KindDef, metadata: &Value, items: &[Arc<Entry>]) -> (Vec<u8>, &'static [u8]) {
        let (api_version, kind) = self.list_type_of(kind);
        if self.protobuf {
            let items: usize = items.iter().map(|entry| self.framed_length(entry)).sum();
            let metadata = respond::message(LIST_META, metadata);
            let mut first = Vec::new();
            protobuf::put_length(&mut first, 1, metadata.len());
            first.extend_from_slice(&metadata);
            return (
                [protobuf::envelope_head(&api_version, &kind, first.len() + items), first].concat(),
                ENVELOPE_TAIL,
            );
        }
        let head = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}).to_string();
        let open = head.strip_suffix('}').expect("objects end with a brace");
        (format!("{open},\"items\":[").into_bytes(), b"]}\n")
    }

    /// The bytes that an item takes in a list in protobuf.
    fn framed_length(self, entry: &Entry) -> usize {
        let length = self.item(entry).len();
        length + length_head(length).len()
    }
}

/// The key and length of an item in a list, or of the object in an event: both have number 2.
fn length_head(length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(6);
    protobuf::put_length(&mut head, 2, length);
    head
}

pub fn list_metadata(list: &List) -> Value {
    let mut metadata = json!({"resourceVersion": list.revision.to_string()});
    if !list.continue_token.is_empty() {
        metadata["continue"] = json!(list.continue_token);
        if let Some(remaining) = list.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
    }
    metadata
}

/// What stands before the metadata.
fn partial_head(version: MetaVersion) -> &'static [u8] {
    match version {
        MetaVersion::V1 => br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#,
        MetaVersion::V1Beta1 => br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1beta1","metadata":"#,
    }
}

fn json_event_head(event: &'static str) -> Bytes {
    Bytes::from_static(match event {
        "ADDED" => b"{\"type\":\"ADDED\",\"object\":",
        "MODIFIED" => b"{\"type\":\"MODIFIED\",\"object\":",
        "DELETED" => b"{\"type\":\"DELETED\",\"object\":",
        "BOOKMARK" => b"{\"type\":\"BOOKMARK\",\"object\":",
        _ => b"{\"type\":\"ERROR\",\"object\":",
    })
}

/// An event around JSON that is made for one watcher.
pub fn json_event(event: &'static str, object: &[u8]) -> [Bytes; 2] {
    [json_event_head(event), Bytes::from([object, b"}\n"].concat())]
}

/// A `WatchEvent` without envelope behind its length in four bytes. `object` is the message of the event's
/// object and what ends its envelope; the envelope's head comes with the first piece.
fn protobuf_event(event: &str, api_version: &str, kind: &str, object: Bytes) -> [Bytes; 2] {
    let envelope = protobuf::envelope_head(api_version, kind, object.len() - ENVELOPE_TAIL.len());
    let mut raw = Vec::new();
    protobuf::put_length(&mut raw, 1, envelope.len() + object.len());
    let mut message = Vec::with_capacity(96);
    protobuf::put_length(&mut message, 1, event.len());
    message.extend_from_slice(event.as_bytes());
    message.extend_from_slice(&length_head(raw.len() + envelope.len() + object.len()));
    message.extend_from_slice(&raw);
    message.extend_from_slice(&envelope);
    let length = u32::try_from(message.len() + object.len()).expect("objects are a few megabytes at most");
    [Bytes::from([length.to_be_bytes().as_slice(), &message].concat()), object]
}

/// A list as a table, piece by piece: only the rows of one piece are in memory.
pub fn table(kind: &'static KindDef, list: List, shown: Rows) -> Joined {
    let empty = table::render(kind, std::iter::empty(), list_metadata(&list), shown, true).to_string();
    let head = empty.strip_suffix("]}").expect("the rows come last").as_bytes().to_vec();
    Joined::new(Form::Rows(kind, shown), head, list.items, b"]}\n")
}

/// How the items of a list are printed.
enum Form {
    Encoded(Encoding),
    Rows(&'static KindDef, Rows),
}

impl Form {
    /// Appends the printed item.
    fn print(&self, entry: &Entry, chunk: &mut BytesMut) {
        match self {
            Self::Encoded(Encoding { protobuf: false, partial: None }) => {
                entry.json_in_list().into_iter().for_each(|piece| chunk.put_slice(piece));
            }
            Self::Encoded(encoding) => {
                let item = encoding.item(entry);
                if encoding.protobuf {
                    chunk.put_slice(&length_head(item.len()));
                }
                chunk.put_slice(&item);
            }
            Self::Rows(kind, shown) => {
                chunk.put_slice(table::row(kind, &entry.object(), *shown).to_string().as_bytes());
            }
        }
    }

    fn is_protobuf(&self) -> bool {
        matches!(self, Self::Encoded(encoding) if encoding.protobuf)
    }
}

/// The pieces of a list, each of about [`CHUNK_BYTES`].
pub struct Joined {
    form: Form,
    head: Option<Vec<u8>>,
    items: std::vec::IntoIter<Arc<Entry>>,
    tail: &'static [u8],
    first: bool,
}

/// Lists longer than this are sent in pieces of about this size.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Room that is made for each item ahead of printing it.
const ITEM_BYTES: usize = 1 << 10;

impl Joined {
    fn new(form: Form, head: Vec<u8>, items: Vec<Arc<Entry>>, tail: &'static [u8]) -> Self {
        Self { form, head: Some(head), items: items.into_iter(), tail, first: true }
    }
}

impl Iterator for Joined {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let expected = self.items.len().saturating_mul(ITEM_BYTES).min(CHUNK_BYTES) + ITEM_BYTES;
        let mut chunk = BytesMut::with_capacity(expected);
        chunk.put_slice(&self.head.take().unwrap_or_default());
        while chunk.len() < CHUNK_BYTES {
            let Some(entry) = self.items.next() else {
                chunk.put_slice(std::mem::take(&mut self.tail));
                break;
            };
            if !std::mem::take(&mut self.first) && !self.form.is_protobuf() {
                chunk.put_u8(b',');
            }
            self.form.print(&entry, &mut chunk);
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }
}
