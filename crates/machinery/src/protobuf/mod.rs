//! Objects in protobuf, as client-go and kubectl send and read them, along the schema table.

mod encode;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use schema::{Field, Message, Shape, Type};
use serde_json::{Map, Value, json};

use crate::decode::{complete, is_zero, mishandled, unreadable};
use crate::error::ApiError;
use crate::names::GroupVersionKind;
use crate::object::Object;
pub use encode::{ENVELOPE_TAIL, encode_message, encode_metadata, encode_protobuf, envelope_head, put_length};
use wire::{Fields, Raw};

/// What stands before every object that is stored or sent as protobuf.
pub const MAGIC: &[u8] = b"k8s\0";

const JSON_SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// Messages within messages that are followed; JSON schemas of custom resources are what comes near.
const DEPTH_MAX: usize = 100;

/// Why bytes are no object, in the words of Go's generated code where it has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

const NO_PREFIX: Malformed =
    Malformed("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");

/// Reads an object of the message of this name (see [`schema::message`]).
///
/// Unknown fields are left out. Protobuf carries every field that is no pointer in Go: those that are zero
/// are left out too, as Go's JSON does.
pub fn decode_protobuf(bytes: &[u8], message: &str) -> Result<Object, ApiError> {
    let message = schema::message(message).expect("every kind's schema is in the table");
    let (mut object, raw) = unwrap(bytes).map_err(|why| unreadable(bytes, message.name, why.0))?;
    let filled = fill(&mut object.0, message, &[], raw, 0);
    let kind = message.name.rsplit('.').next().unwrap_or_default();
    filled.map_err(|why| mishandled(&object, kind, why.0)).map(|()| object)
}

/// What kind of object was encoded, in which version.
pub fn kind_of(bytes: &[u8]) -> Result<GroupVersionKind, ApiError> {
    unwrap(bytes).map(|(object, _)| object.gvk()).map_err(|why| unreadable(bytes, "object", why.0))
}

/// How many bytes the first field of a message takes; none when there is no whole field.
pub fn first_field(bytes: &[u8]) -> usize {
    let mut fields = Fields(bytes);
    fields.next().map_or(0, |_| bytes.len() - fields.0.len())
}

/// An object with nothing but its type, and the message in its envelope (`runtime.Unknown`).
fn unwrap(bytes: &[u8]) -> Result<(Object, &[u8]), Malformed> {
    let envelope =
        bytes.strip_prefix(MAGIC).ok_or(if bytes.is_empty() { Malformed("empty data") } else { NO_PREFIX })?;
    if envelope.is_empty() {
        return Err(Malformed("empty body"));
    }
    let (mut names, mut raw): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields(envelope) {
        match field? {
            (1, held) => names = held.bytes()?,
            (2, held) => raw = held.bytes()?,
            _ => {}
        }
    }
    let mut object = Object::default();
    for field in Fields(names) {
        match field? {
            (1, name) => object.set(&["apiVersion"], name.text()?),
            (2, name) => object.set(&["kind"], name.text()?),
            _ => {}
        }
    }
    object.0.retain(|_, name| name != "");
    Ok((object, raw))
}

/// Puts the fields in `bytes` into `map`. `within` are the tags of messages that JSON does not show.
fn fill(
    map: &mut Map<String, Value>,
    message: &'static Message,
    within: &[u32],
    bytes: &[u8],
    depth: usize,
) -> Result<(), Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed("messages are nested too deep"));
    }
    for field in Fields(bytes) {
        let (number, raw) = field?;
        if let Some(field) = message.fields.iter().find(|field| field.tag == number && field.outer == within) {
            put(map, field, raw, depth)?;
            continue;
        }
        let inner = [within, &[number]].concat();
        if message.fields.iter().any(|field| field.outer.starts_with(&inner)) {
            fill(map, message, &inner, raw.bytes()?, depth + 1)?;
        }
    }
    if within.is_empty() {
        complete(map, message);
    }
    Ok(())
}

fn put(map: &mut Map<String, Value>, field: &'static Field, raw: Raw<'_>, depth: usize) -> Result<(), Malformed> {
    match field.shape {
        Shape::One => {
            let value = value(field, raw, depth)?;
            if !is_absent(field, &value) {
                map.insert(field.json.to_owned(), value);
            }
        }
        Shape::List => {
            let list = map.entry(field.json).or_insert_with(|| json!([]));
            let list = list.as_array_mut().expect("lists are made just above");
            match (field.wire, raw) {
                (schema::Wire::Varint, Raw::Bytes(packed)) => {
                    for number in Fields::packed(packed) {
                        list.push(value(field, Raw::Varint(number?), depth)?);
                    }
                }
                (schema::Wire::Message, Raw::Bytes(texts)) if matches!(field.of, Type::String) => {
                    list.extend(strings(texts)?);
                }
                _ => list.push(value(field, raw, depth)?),
            }
        }
        Shape::Map => {
            let (key, value) = pair(field, raw.bytes()?, depth)?;
            let entries = map.entry(field.json).or_insert_with(|| json!({}));
            entries.as_object_mut().expect("maps are made just above").insert(key, value);
        }
    }
    Ok(())
}

/// Whether Go's JSON would not show this value. Protobuf carries what is no pointer even when it is zero.
fn is_absent(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => true,
        _ if field.shows_zero() => false,
        other => is_zero(other),
    }
}

fn pair(field: &'static Field, bytes: &[u8], depth: usize) -> Result<(String, Value), Malformed> {
    let (mut key, mut held) = (String::new(), None);
    for part in Fields(bytes) {
        match part? {
            (1, raw) => key = raw.text()?.to_owned(),
            (2, raw) => held = Some(value(field, raw, depth)?),
            _ => {}
        }
    }
    Ok((key, held.unwrap_or_else(|| json!(""))))
}

/// One value, one item of a list, or one value of a map.
fn value(field: &'static Field, raw: Raw<'_>, depth: usize) -> Result<Value, Malformed> {
    Ok(match field.of {
        Type::String => json!(raw.text()?),
        Type::Bytes => json!(STANDARD.encode(raw.bytes()?)),
        Type::Bool => json!(raw.varint()? != 0),
        Type::Int32 | Type::Int64 => json!(raw.signed()?),
        Type::Double => match raw {
            Raw::Fixed64(bits) => json!(f64::from_bits(bits)),
            _ => return Err(Malformed("a field has another wire type than its message says")),
        },
        Type::Strings => Value::Array(strings(raw.bytes()?)?),
        Type::Quantity => json!(part(raw.bytes()?, 1)?.map_or(Ok(""), Raw::text)?),
        Type::Time => time(raw.bytes()?, clock::format_time)?,
        Type::MicroTime => time(raw.bytes()?, clock::format_micro_time)?,
        Type::Duration => json!(format!("{}ns", part(raw.bytes()?, 1)?.map_or(Ok(0), Raw::signed)?)),
        Type::IntOrString => int_or_string(raw.bytes()?)?,
        Type::FieldsV1 | Type::RawExtension | Type::Any => embedded(raw.bytes()?)?,
        Type::SchemaOrArray => schema_or_array(raw.bytes()?, depth)?,
        Type::SchemaOrBool => schema_or_bool(raw.bytes()?, depth)?,
        Type::SchemaOrStrings => schema_or_strings(raw.bytes()?, depth)?,
        Type::Message(message) => {
            let mut map = Map::new();
            fill(&mut map, message, &[], raw.bytes()?, depth + 1)?;
            Value::Object(map)
        }
    })
}

/// The last field with this number.
fn part(bytes: &[u8], number: u32) -> Result<Option<Raw<'_>>, Malformed> {
    Fields(bytes).try_fold(None, |found, field| {
        let (of, raw) = field?;
        Ok(if of == number { Some(raw) } else { found })
    })
}

/// A message whose field 1 repeats.
fn strings(bytes: &[u8]) -> Result<Vec<Value>, Malformed> {
    Fields(bytes).map(|field| Ok(json!(field?.1.text()?))).collect()
}

/// Nothing for Go's zero time, which is an empty message.
fn time(bytes: &[u8], print: fn(Timestamp) -> String) -> Result<Value, Malformed> {
    let seconds = part(bytes, 1)?.map_or(Ok(0), Raw::signed)?;
    let nanos = part(bytes, 2)?.map_or(Ok(0), Raw::signed)?;
    if (seconds, nanos) == (0, 0) {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(nanos).map_err(|_| Malformed("a time is out of range"))?;
    let at = Timestamp::new(seconds, nanos).map_err(|_| Malformed("a time is out of range"))?;
    Ok(json!(print(at)))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Malformed> {
    let is_text = part(bytes, 1)?.map_or(Ok(0), Raw::varint)? == 1;
    if is_text {
        return Ok(json!(part(bytes, 3)?.map_or(Ok(""), Raw::text)?));
    }
    Ok(json!(part(bytes, 2)?.map_or(Ok(0), Raw::signed)?))
}

/// JSON in field 1.
fn embedded(bytes: &[u8]) -> Result<Value, Malformed> {
    match part(bytes, 1)?.map(Raw::bytes).transpose()?.unwrap_or_default() {
        [] => Ok(Value::Null),
        json => serde_json::from_slice(json).map_err(|_| Malformed("an embedded object is not JSON")),
    }
}

fn schema_or_array(bytes: &[u8], depth: usize) -> Result<Value, Malformed> {
    match part(bytes, 1)? {
        Some(schema) => json_schema(schema, depth),
        None => all(bytes, 2, |schema| json_schema(schema, depth)),
    }
}

fn schema_or_bool(bytes: &[u8], depth: usize) -> Result<Value, Malformed> {
    match part(bytes, 2)? {
        Some(schema) => json_schema(schema, depth),
        None => Ok(json!(part(bytes, 1)?.map_or(Ok(0), Raw::varint)? != 0)),
    }
}

fn schema_or_strings(bytes: &[u8], depth: usize) -> Result<Value, Malformed> {
    match part(bytes, 1)? {
        Some(schema) => json_schema(schema, depth),
        None => all(bytes, 2, |text| Ok(json!(text.text()?))),
    }
}

fn json_schema(raw: Raw<'_>, depth: usize) -> Result<Value, Malformed> {
    let props = schema::message(JSON_SCHEMA).expect("JSON schemas are in the table");
    let mut map = Map::new();
    fill(&mut map, props, &[], raw.bytes()?, depth + 1)?;
    Ok(Value::Object(map))
}

/// Every field with this number, as a list.
fn all(bytes: &[u8], number: u32, read: impl Fn(Raw<'_>) -> Result<Value, Malformed>) -> Result<Value, Malformed> {
    let mut list = Vec::new();
    for field in Fields(bytes) {
        let (of, raw) = field?;
        if of == number {
            list.push(read(raw)?);
        }
    }
    Ok(Value::Array(list))
}

#[cfg(test)]
mod tests;
