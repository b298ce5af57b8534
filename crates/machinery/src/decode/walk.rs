//! The walk over a document along the schema: one pass, whatever the format.

use std::borrow::Cow;
use std::fmt;

use schema::{Field, Shape, Type};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::report::Report;
use super::scalar::{self, Scalar};

/// The schema of `JSONSchemaProps`, which some types may hold besides other things.
const SCHEMA_PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// An empty list of managers is no absent one: it asks for a reset.
const MANAGED_FIELDS: &str = "managedFields";

/// What the next value must be.
#[derive(Clone, Copy)]
struct Expected {
    shape: Shape,
    of: Type,
}

impl Expected {
    fn item(self) -> Self {
        Self { shape: Shape::One, of: self.of }
    }

    /// What it is called in Go.
    fn go_type(self) -> String {
        match self.shape {
            Shape::One => scalar::go_type(self.of),
            Shape::List => format!("[]{}", scalar::go_type(self.of)),
            Shape::Map => format!("map[string]{}", scalar::go_type(self.of)),
        }
    }
}

/// Reads a whole message.
pub(super) struct Message<'a> {
    pub message: &'static schema::Message,
    pub report: &'a mut Report,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let expected = Expected { shape: Shape::One, of: Type::Message(self.message) };
        Walk { expected, report: self.report }.deserialize(deserializer)
    }
}

/// Reads one value.
struct Walk<'a> {
    expected: Expected,
    report: &'a mut Report,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.expected {
            Expected { shape: Shape::One, of: Type::Any } => {
                Untyped { report: &mut Report::default() }.deserialize(deserializer)
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl Walk<'_> {
    fn scalar(self, scalar: Scalar<'_>) -> Value {
        match self.expected.shape {
            Shape::One => scalar::read(scalar, self.expected.of, self.report),
            Shape::List | Shape::Map => {
                let found = scalar.kind();
                self.report.mismatch(found, &self.expected.go_type());
                Value::Null
            }
        }
    }

    fn message<'de, A: MapAccess<'de>>(self, message: &'static schema::Message, access: A) -> Result<Value, A::Error> {
        self.report.in_message(message.name, |report| fields(message, access, report)).map(Value::Object)
    }
}

/// Reads the fields of a message; what means nothing is not kept.
fn fields<'de, A: MapAccess<'de>>(
    message: &'static schema::Message,
    mut access: A,
    report: &mut Report,
) -> Result<Map<String, Value>, A::Error> {
    let mut map = Map::new();
    let mut seen: Vec<&'static str> = Vec::new();
    while let Some(key) = access.next_key_seed(FieldName(message))? {
        match key {
            Key::Unknown(name) => {
                report.unknown(&name);
                access.next_value::<IgnoredAny>()?;
            }
            Key::Known(field) => {
                if seen.contains(&field.json) {
                    report.duplicate(field.json);
                }
                seen.push(field.json);
                let expected = Expected { shape: field.shape, of: field.of };
                let value = report.in_field(field.json, |report| access.next_value_seed(Walk { expected, report }))?;
                keep(&mut map, field, value);
            }
        }
    }
    complete(&mut map, message);
    Ok(map)
}

/// Adds what Go always shows: messages that are no pointers.
pub(crate) fn complete(map: &mut Map<String, Value>, message: &'static schema::Message) {
    for field in message.fields {
        let Some(within) = field.in_place().filter(|_| !map.contains_key(field.json)) else { continue };
        let mut inner = Map::new();
        complete(&mut inner, within);
        map.insert(field.json.to_owned(), Value::Object(inner));
    }
}

fn keep(map: &mut Map<String, Value>, field: &Field, value: Value) {
    let is_nothing = match &value {
        Value::Null => true,
        Value::Array(items) => {
            items.is_empty() && !field.required && field.shape == Shape::List && field.json != MANAGED_FIELDS
        }
        Value::Object(entries) => entries.is_empty() && !field.required && field.shape == Shape::Map,
        scalar => !field.shows_zero() && is_zero(scalar),
    };
    if is_nothing {
        map.remove(field.json);
    } else {
        map.insert(field.json.to_owned(), value);
    }
}

/// Whether it is the value that Go gives to what is not said.
pub(crate) fn is_zero(scalar: &Value) -> bool {
    match scalar {
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

enum Key {
    Known(&'static Field),
    Unknown(String),
}

/// Looks a field up while its name is read.
struct FieldName(&'static schema::Message);

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        let name = MapKey.deserialize(deserializer)?;
        Ok(self.0.field(&name).map_or_else(|| Key::Unknown(name.into_owned()), Key::Known))
    }
}

/// Reads a map's key, which YAML may write without quotes.
pub(super) struct MapKey;

impl<'de> DeserializeSeed<'de> for MapKey {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MapKey {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(self.scalar(Scalar::Bool(value)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(self.scalar(Scalar::Number(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(self.scalar(Scalar::Number(number.into())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, |number| self.scalar(Scalar::Number(number))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(self.scalar(Scalar::Text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let Self { expected, report } = self;
        let item = match expected {
            Expected { shape: Shape::List, .. } => expected.item(),
            Expected { shape: Shape::One, of: Type::Strings | Type::SchemaOrStrings } => {
                Expected { shape: Shape::One, of: Type::String }
            }
            Expected { shape: Shape::One, of: Type::SchemaOrArray } => {
                Expected { shape: Shape::One, of: schema_props() }
            }
            _ => {
                report.mismatch("array", &expected.go_type());
                while access.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Value::Null);
            }
        };
        let mut items = Vec::new();
        loop {
            let index = items.len();
            let next = report.in_item(index, |report| access.next_element_seed(Walk { expected: item, report }))?;
            let Some(value) = next else { return Ok(Value::Array(items)) };
            items.push(if value.is_null() { zero(item.of) } else { value });
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        match self.expected {
            Expected { shape: Shape::Map, .. } => entries(access, self.expected.item(), self.report),
            Expected { shape: Shape::One, of: Type::Message(message) } => self.message(message, access),
            Expected { shape: Shape::One, of: Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings } => {
                let Type::Message(message) = schema_props() else { return Ok(Value::Null) };
                self.message(message, access)
            }
            Expected { shape: Shape::One, of: Type::RawExtension | Type::FieldsV1 } => {
                untyped_entries(access, &mut Report::default())
            }
            expected => {
                self.report.mismatch("object", &expected.go_type());
                while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Null)
            }
        }
    }
}

fn schema_props() -> Type {
    Type::Message(schema::message(SCHEMA_PROPS).expect("the table has JSONSchemaProps"))
}

/// Reads a map with arbitrary keys.
fn entries<'de, A: MapAccess<'de>>(mut access: A, of: Expected, report: &mut Report) -> Result<Value, A::Error> {
    let mut map = Map::new();
    while let Some(key) = access.next_key_seed(MapKey)? {
        let value = report.in_key(&key, |report| access.next_value_seed(Walk { expected: of, report }))?;
        let value = if value.is_null() { zero(of.of) } else { value };
        if map.insert(key.to_string(), value).is_some() {
            report.duplicate(&key);
        }
    }
    Ok(Value::Object(map))
}

/// What Go makes of a null among others.
fn zero(of: Type) -> Value {
    match of {
        Type::String | Type::Bytes => "".into(),
        Type::Bool => false.into(),
        Type::Int32 | Type::Int64 | Type::Double | Type::IntOrString => 0.into(),
        Type::Quantity => "0".into(),
        Type::Message(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

/// Reads anything, and notes duplicate fields.
pub(super) struct Untyped<'a> {
    pub report: &'a mut Report,
}

impl<'de> DeserializeSeed<'de> for Untyped<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Untyped<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let index = items.len();
            let next = self.report.in_item(index, |report| access.next_element_seed(Untyped { report }))?;
            let Some(value) = next else { return Ok(Value::Array(items)) };
            items.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        untyped_entries(access, self.report)
    }
}

fn untyped_entries<'de, A: MapAccess<'de>>(mut access: A, report: &mut Report) -> Result<Value, A::Error> {
    let mut map = Map::new();
    while let Some(key) = access.next_key_seed(MapKey)? {
        let value = report.in_key(&key, |report| access.next_value_seed(Untyped { report }))?;
        if map.insert(key.to_string(), value).is_some() {
            report.duplicate(&key);
        }
    }
    Ok(Value::Object(map))
}
