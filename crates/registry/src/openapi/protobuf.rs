//! OpenAPI 2 as protobuf, which kubectl up to 1.28 asks for.
//!
//! The messages are those of gnostic (`openapi.v2`), as far as [`super::v2`] makes use of them: tables of
//! field numbers by JSON name, walked over the JSON document.

use serde_json::{Map, Value};

/// What clients accept.
pub const V2_PROTOBUF_ACCEPTED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The content type of the answer: Go's parser of media types refuses the `@` that clients accept it with.
pub const V2_PROTOBUF_SENT: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// How a value is written.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A text for each item.
    Texts,
    Bool,
    /// A message with fields.
    Message(&'static Table),
    /// A message that holds one message `(name, value)` for each entry, under this number.
    Entries(u32, &'static Kind),
    /// A message that is one field of another, by the way down.
    Inside(&'static [u32], &'static Kind),
    /// A message with one list of texts, which the value may also be without being a list.
    TextList,
    /// A message for each item, of a kind that the item tells.
    EachChosen(fn(&Value) -> &'static Kind),
}

/// JSON names with number and kind; `extensions` takes what begins with `x-`.
struct Table {
    fields: &'static [(&'static str, u32, Kind)],
    extensions: u32,
}

static DOCUMENT: Table = Table {
    fields: &[
        ("swagger", 1, Kind::Text),
        ("info", 2, Kind::Message(&INFO)),
        ("paths", 8, Kind::Entries(2, &Kind::Message(&PATH_ITEM))),
        ("definitions", 9, Kind::Entries(1, &Kind::Message(&SCHEMA))),
        ("security", 12, Kind::EachChosen(|_| &REQUIREMENT)),
        ("securityDefinitions", 13, Kind::Entries(1, &Kind::Inside(&[2], &Kind::Message(&API_KEY)))),
    ],
    extensions: 16,
};
static INFO: Table = Table { fields: &[("title", 1, Kind::Text), ("version", 2, Kind::Text)], extensions: 7 };
static API_KEY: Table = Table {
    fields: &[("type", 1, Kind::Text), ("name", 2, Kind::Text), ("in", 3, Kind::Text), ("description", 4, Kind::Text)],
    extensions: 5,
};
static PATH_ITEM: Table = Table {
    fields: &[
        ("get", 2, Kind::Message(&OPERATION)),
        ("put", 3, Kind::Message(&OPERATION)),
        ("post", 4, Kind::Message(&OPERATION)),
        ("delete", 5, Kind::Message(&OPERATION)),
        ("patch", 8, Kind::Message(&OPERATION)),
        ("parameters", 9, Kind::EachChosen(parameter)),
    ],
    extensions: 10,
};
static OPERATION: Table = Table {
    fields: &[
        ("tags", 1, Kind::Texts),
        ("description", 3, Kind::Text),
        ("operationId", 5, Kind::Text),
        ("produces", 6, Kind::Texts),
        ("consumes", 7, Kind::Texts),
        ("parameters", 8, Kind::EachChosen(parameter)),
        ("responses", 9, Kind::Entries(1, &Kind::Inside(&[1], &Kind::Message(&RESPONSE)))),
        ("schemes", 10, Kind::Texts),
    ],
    extensions: 13,
};
static RESPONSE: Table = Table {
    fields: &[("description", 1, Kind::Text), ("schema", 2, Kind::Inside(&[1], &Kind::Message(&SCHEMA)))],
    extensions: 5,
};
static BODY: Table = Table {
    fields: &[
        ("description", 1, Kind::Text),
        ("name", 2, Kind::Text),
        ("in", 3, Kind::Text),
        ("required", 4, Kind::Bool),
        ("schema", 5, Kind::Message(&SCHEMA)),
    ],
    extensions: 6,
};
static QUERY: Table = Table {
    fields: &[
        ("required", 1, Kind::Bool),
        ("in", 2, Kind::Text),
        ("description", 3, Kind::Text),
        ("name", 4, Kind::Text),
        ("type", 6, Kind::Text),
        ("uniqueItems", 20, Kind::Bool),
    ],
    extensions: 23,
};
static PATH: Table = Table {
    fields: &[
        ("required", 1, Kind::Bool),
        ("in", 2, Kind::Text),
        ("description", 3, Kind::Text),
        ("name", 4, Kind::Text),
        ("type", 5, Kind::Text),
        ("uniqueItems", 19, Kind::Bool),
    ],
    extensions: 22,
};
static SCHEMA: Table = Table {
    fields: &[
        ("$ref", 1, Kind::Text),
        ("format", 2, Kind::Text),
        ("description", 4, Kind::Text),
        ("required", 19, Kind::Texts),
        ("additionalProperties", 21, Kind::Inside(&[1], &Kind::Message(&SCHEMA))),
        ("type", 22, Kind::TextList),
        ("items", 23, Kind::Inside(&[1], &Kind::Message(&SCHEMA))),
        ("properties", 25, Kind::Entries(1, &Kind::Message(&SCHEMA))),
    ],
    extensions: 31,
};

/// `ParametersItem.parameter` holds a body or another parameter, and that a query's or a path's.
static IN_BODY: Kind = Kind::Inside(&[1, 1], &Kind::Message(&BODY));
static IN_QUERY: Kind = Kind::Inside(&[1, 2, 3], &Kind::Message(&QUERY));
static IN_PATH: Kind = Kind::Inside(&[1, 2, 4], &Kind::Message(&PATH));
static REQUIREMENT: Kind = Kind::Entries(1, &Kind::TextList);

fn parameter(value: &Value) -> &'static Kind {
    match value["in"].as_str() {
        Some("body") => &IN_BODY,
        Some("path") => &IN_PATH,
        _ => &IN_QUERY,
    }
}

/// The `openapi.v2.Document` of an OpenAPI 2 document that [`super::v2`] made.
pub fn v2_protobuf(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_fields(&mut out, document, &DOCUMENT);
    out
}

fn write_fields(out: &mut Vec<u8>, value: &Value, table: &Table) {
    let Some(map) = value.as_object() else { return };
    for (name, number, kind) in table.fields {
        if let Some(value) = map.get(*name) {
            write_field(out, *number, value, *kind);
        }
    }
    write_extensions(out, map, table.extensions);
}

/// Extensions are `NamedAny`, their values written as YAML, which JSON is.
fn write_extensions(out: &mut Vec<u8>, map: &Map<String, Value>, number: u32) {
    for (name, value) in map.iter().filter(|(name, _)| name.starts_with("x-")) {
        write_message(out, number, |out| {
            write_bytes(out, 1, name.as_bytes());
            write_message(out, 2, |out| write_bytes(out, 2, value.to_string().as_bytes()));
        });
    }
}

fn write_field(out: &mut Vec<u8>, number: u32, value: &Value, kind: Kind) {
    match kind {
        Kind::Text => write_bytes(out, number, value.as_str().unwrap_or_default().as_bytes()),
        Kind::Texts => items(value).for_each(|item| write_field(out, number, item, Kind::Text)),
        Kind::Bool => write_bool(out, number, value == &Value::Bool(true)),
        Kind::Message(table) => write_message(out, number, |out| write_fields(out, value, table)),
        Kind::Entries(inner, of) => write_message(out, number, |out| write_entries(out, inner, value, *of)),
        Kind::Inside([], of) => write_field(out, number, value, *of),
        Kind::Inside([next, way @ ..], of) => {
            write_message(out, number, |out| write_field(out, *next, value, Kind::Inside(way, of)));
        }
        Kind::TextList if value.is_array() => write_message(out, number, |out| write_field(out, 1, value, Kind::Texts)),
        Kind::TextList => write_message(out, number, |out| write_field(out, 1, value, Kind::Text)),
        Kind::EachChosen(choose) => items(value).for_each(|item| write_field(out, number, item, *choose(item))),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn write_entries(out: &mut Vec<u8>, number: u32, value: &Value, of: Kind) {
    for (name, value) in value.as_object().into_iter().flatten() {
        write_message(out, number, |out| {
            write_bytes(out, 1, name.as_bytes());
            write_field(out, 2, value, of);
        });
    }
}

fn write_message(out: &mut Vec<u8>, number: u32, inside: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    inside(&mut message);
    write_bytes(out, number, &message);
}

fn write_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    const LENGTH_DELIMITED: u32 = 2;
    write_varint(out, u64::from((number << 3) | LENGTH_DELIMITED));
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_bool(out: &mut Vec<u8>, number: u32, value: bool) {
    write_varint(out, u64::from(number << 3));
    out.push(value.into());
}

fn write_varint(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_numbered_as_gnostic_numbers_them() {
        let document = json!({"swagger": "2.0", "definitions": {"A": {"type": "object", "x-b": 1}}});
        let expected = [
            b"\x0a\x032.0".as_slice(),
            b"\x4a\x1f\x0a\x1d\x0a\x01A\x12\x18\xb2\x01\x08\x0a\x06object",
            b"\xfa\x01\x0a\x0a\x03x-b\x12\x03\x12\x011",
        ];
        assert_eq!(v2_protobuf(&document), expected.concat());
    }

    #[test]
    fn parameters_lie_where_their_place_says() {
        let mut out = Vec::new();
        write_fields(&mut out, &json!({"parameters": [{"in": "query", "name": "q"}]}), &PATH_ITEM);
        assert_eq!(out, b"\x4a\x10\x0a\x0e\x12\x0c\x1a\x0a\x12\x05query\x22\x01q");
    }
}
