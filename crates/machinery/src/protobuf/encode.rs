//! Objects to protobuf, as Go's generated code writes them.
//!
//! Fields come in the order of their tags. What is no pointer in Go is written even when it is zero or
//! absent; maps are sorted by key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use schema::{Field, Message, Shape, Type, Wire};
use serde_json::{Map, Value};

use super::{JSON_SCHEMA, MAGIC};
use crate::strconv::parse_duration;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

/// What follows the object in its envelope: no content encoding, no content type.
pub const ENVELOPE_TAIL: &[u8] = &[0x1a, 0, 0x22, 0];

/// An object of this message within its envelope, with its `apiVersion` and `kind`.
pub fn encode_protobuf(object: &Map<String, Value>, message: &'static Message) -> Vec<u8> {
    let text = |field| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let body = encode_message(object, message);
    let mut bytes = envelope_head(text("apiVersion"), text("kind"), body.len());
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(ENVELOPE_TAIL);
    bytes
}

/// What stands before an object of `length` bytes in its envelope.
pub fn envelope_head(api_version: &str, kind: &str, length: usize) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    nested(&mut head, 1, |names| {
        put_bytes(names, 1, api_version.as_bytes());
        put_bytes(names, 2, kind.as_bytes());
    });
    put_length(&mut head, 2, length);
    head
}

/// The fields of an object, without envelope.
pub fn encode_message(object: &Map<String, Value>, message: &'static Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    put_fields(&mut bytes, message, message.wire, 0, object);
    bytes
}

/// The metadata of an object alone: what is left of it as a PartialObjectMetadata, without envelope.
pub fn encode_metadata(object: &Map<String, Value>) -> Vec<u8> {
    let message = schema::message(OBJECT_META).expect("metadata is in the table");
    let mut bytes = Vec::new();
    put_value(&mut bytes, 1, Type::Message(message), object.get("metadata").unwrap_or(&Value::Null));
    bytes
}

/// The key and the length of a field that holds bytes or a message.
pub fn put_length(out: &mut Vec<u8>, tag: u32, length: usize) {
    put_key(out, tag, BYTES);
    put_number(out, length as u64);
}

/// Writes the fields at these positions; all lie in the same messages that JSON does not show, `depth` deep.
fn put_fields(
    out: &mut Vec<u8>,
    message: &'static Message,
    mut positions: &[u8],
    depth: usize,
    map: &Map<String, Value>,
) {
    let field_at = |position: &u8| &message.fields[usize::from(*position)];
    while let Some((first, rest)) = positions.split_first() {
        let field = field_at(first);
        let Some(tag) = field.outer.get(depth) else {
            put_field(out, field, map.get(field.json).unwrap_or(&Value::Null));
            positions = rest;
            continue;
        };
        let same = positions.iter().take_while(|position| field_at(position).outer.get(depth) == Some(tag)).count();
        let (inner, rest) = positions.split_at(same);
        nested(out, *tag, |out| put_fields(out, message, inner, depth + 1, map));
        positions = rest;
    }
}

fn put_field(out: &mut Vec<u8>, field: &Field, value: &Value) {
    match (field.shape, value) {
        (Shape::One, Value::Null) if field.pointer || matches!(field.of, Type::Bytes) => {}
        (Shape::One, value) => put_value(out, field.tag, field.of, value),
        // A list of texts that is a message of its own.
        (Shape::List, Value::Array(items)) if field.wire == Wire::Message && matches!(field.of, Type::String) => {
            nested(out, field.tag, |out| put_items(out, 1, Type::String, items));
        }
        (Shape::List, Value::Array(items)) => put_items(out, field.tag, field.of, items),
        (Shape::Map, Value::Object(entries)) => put_entries(out, field, entries),
        _ => {}
    }
}

fn put_items(out: &mut Vec<u8>, tag: u32, of: Type, items: &[Value]) {
    items.iter().for_each(|item| put_value(out, tag, of, item));
}

fn put_entries(out: &mut Vec<u8>, field: &Field, entries: &Map<String, Value>) {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    for (key, value) in sorted {
        nested(out, field.tag, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_value(out, 2, field.of, value);
        });
    }
}

/// One value; null writes the zero of its type.
fn put_value(out: &mut Vec<u8>, tag: u32, of: Type, value: &Value) {
    let text = || value.as_str().unwrap_or_default();
    match of {
        Type::String => put_bytes(out, tag, text().as_bytes()),
        // Only base64 is ever stored.
        Type::Bytes => put_bytes(out, tag, &STANDARD.decode(text()).unwrap_or_default()),
        Type::Bool => put_varint(out, tag, u64::from(value.as_bool().unwrap_or_default())),
        Type::Int32 | Type::Int64 => put_varint(out, tag, value.as_i64().unwrap_or_default().cast_unsigned()),
        Type::Double => {
            put_key(out, tag, FIXED64);
            out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
        }
        Type::Strings => nested(out, tag, |out| put_items(out, 1, Type::String, list(value))),
        Type::Quantity => nested(out, tag, |out| put_bytes(out, 1, value.as_str().unwrap_or("0").as_bytes())),
        Type::Time | Type::MicroTime => nested(out, tag, |out| put_time(out, text())),
        Type::Duration => nested(out, tag, |out| {
            let length = parse_duration(text()).unwrap_or_default();
            put_varint(out, 1, u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        }),
        Type::IntOrString => nested(out, tag, |out| {
            put_varint(out, 1, u64::from(value.is_string()));
            put_varint(out, 2, value.as_i64().unwrap_or_default().cast_unsigned());
            put_bytes(out, 3, text().as_bytes());
        }),
        Type::FieldsV1 | Type::RawExtension | Type::Any => nested(out, tag, |out| {
            if !value.is_null() {
                put_bytes(out, 1, value.to_string().as_bytes());
            }
        }),
        Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => {
            nested(out, tag, |out| put_schema_or(out, of, value));
        }
        Type::Message(message) => nested(out, tag, |out| put_message(out, message, value)),
    }
}

fn put_message(out: &mut Vec<u8>, message: &'static Message, value: &Value) {
    let nothing = Map::new();
    put_fields(out, message, message.wire, 0, value.as_object().unwrap_or(&nothing));
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Nothing for Go's zero time.
fn put_time(out: &mut Vec<u8>, text: &str) {
    let Ok(at) = text.parse::<Timestamp>() else { return };
    // Times before 1970 have nanoseconds that count forward.
    let nanos = at.subsec_nanosecond();
    let (seconds, nanos) =
        if nanos < 0 { (at.as_second() - 1, nanos + 1_000_000_000) } else { (at.as_second(), nanos) };
    put_varint(out, 1, seconds.cast_unsigned());
    put_varint(out, 2, i64::from(nanos).cast_unsigned());
}

fn put_schema_or(out: &mut Vec<u8>, of: Type, value: &Value) {
    let schema = schema::message(JSON_SCHEMA).expect("JSON schemas are in the table");
    match (of, value) {
        (Type::SchemaOrBool, _) => {
            put_varint(out, 1, u64::from(value.is_object() || *value == Value::Bool(true)));
            if value.is_object() {
                put_value(out, 2, Type::Message(schema), value);
            }
        }
        (_, Value::Object(_)) => put_value(out, 1, Type::Message(schema), value),
        (Type::SchemaOrArray, _) => put_items(out, 2, Type::Message(schema), list(value)),
        _ => put_items(out, 2, Type::String, list(value)),
    }
}

/// A field whose length is known only when it is written.
fn nested(out: &mut Vec<u8>, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_key(out, tag, BYTES);
    let start = out.len();
    // Most messages are short, and their length one byte.
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        out[start] = short;
        return;
    }
    let mut number = Vec::with_capacity(5);
    put_number(&mut number, length as u64);
    out.splice(start..=start, number);
}

fn put_bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    put_length(out, tag, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, tag: u32, value: u64) {
    put_key(out, tag, VARINT);
    put_number(out, value);
}

fn put_key(out: &mut Vec<u8>, tag: u32, wire: u8) {
    put_number(out, u64::from(tag) << 3 | u64::from(wire));
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
