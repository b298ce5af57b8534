//! Objects along the schema table, as Go's JSON would show them.

use schema::{Field, Message, Shape, Type};
use serde_json::{Map, Value, json};

/// Deeper, only what must be there is.
const DEPTH_MAX: usize = 5;

const SCHEMA_PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// A sequence of numbers that its seed alone decides (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// An object of this message and type.
pub fn object(numbers: &mut Numbers, message: &'static Message, api_version: &str, kind: &str) -> Map<String, Value> {
    let mut map = fields(numbers, message, 0);
    map.insert("apiVersion".to_owned(), json!(api_version));
    map.insert("kind".to_owned(), json!(kind));
    map
}

fn fields(numbers: &mut Numbers, message: &'static Message, depth: usize) -> Map<String, Value> {
    let mut map = Map::new();
    for field in message.fields.iter().filter(|field| field.tag > 0) {
        let is_struct =
            field.shape == Shape::One && matches!(field.of, Type::Message(_) | Type::Quantity | Type::IntOrString);
        // What is no pointer is on the wire in any case, with what must be in it.
        let always = !field.pointer && (field.shows_zero() || is_struct);
        if !always && (depth > DEPTH_MAX || numbers.below(3) > 0) {
            continue;
        }
        if let Some(value) = shaped(numbers, field, depth) {
            map.insert(field.json.to_owned(), value);
        }
    }
    map
}

/// Nothing where Go's JSON would show nothing.
fn shaped(numbers: &mut Numbers, field: &Field, depth: usize) -> Option<Value> {
    let count = 1 + numbers.below(3);
    match field.shape {
        Shape::One => {
            let value = value(numbers, field.of, depth);
            (field.shows_zero() || field.in_place().is_some() || !is_zero(&value)).then_some(value)
        }
        Shape::List => Some((0..count).map(|_| value(numbers, field.of, depth)).collect()),
        Shape::Map => {
            let entries = (0..count).map(|at| (format!("key-{at}"), value(numbers, field.of, depth)));
            Some(Value::Object(entries.collect()))
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn value(numbers: &mut Numbers, of: Type, depth: usize) -> Value {
    match of {
        Type::String => json!(numbers.pick(&["a", "web", "ünïcödé", "x\ny"])),
        Type::Bytes => json!(numbers.pick(&["AQI=", "aGVsbG8="])),
        Type::Bool => json!(numbers.below(2) == 1),
        Type::Int32 => json!(numbers.pick(&[0, 1, -1, 80, i32::MAX, i32::MIN])),
        Type::Int64 => json!(numbers.pick(&[0, 1, -1, 300, i64::MAX, i64::MIN])),
        Type::Double => json!(numbers.pick(&[1.5, -0.25, 1e9])),
        Type::Strings => json!(["one", "two"]),
        Type::Quantity => json!(numbers.pick(&["1", "500m", "2Gi", "1k"])),
        Type::Time => json!(numbers.pick(&["2026-01-02T03:04:05Z", "1969-12-31T23:59:59Z"])),
        Type::MicroTime => json!(numbers.pick(&["2026-01-02T03:04:05.000006Z", "1969-12-31T23:59:59.500000Z"])),
        Type::Duration => json!("1m0s"),
        Type::IntOrString => [json!(0), json!(-1), json!("http"), json!("25%")][numbers.below(4) as usize].clone(),
        Type::FieldsV1 | Type::RawExtension => json!({"f:metadata": {}, "a": [1, "b", null]}),
        Type::Any => [json!(false), json!(0), json!({"a": {}}), json!("x")][numbers.below(4) as usize].clone(),
        Type::SchemaOrArray if numbers.below(2) == 0 => json!([schema(numbers, depth), schema(numbers, depth)]),
        Type::SchemaOrBool if numbers.below(2) == 0 => json!(numbers.below(2) == 1),
        Type::SchemaOrStrings if numbers.below(2) == 0 => json!(["one", "two"]),
        Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => schema(numbers, depth),
        Type::Message(message) => Value::Object(fields(numbers, message, depth + 1)),
    }
}

fn schema(numbers: &mut Numbers, depth: usize) -> Value {
    let message = schema::message(SCHEMA_PROPS).expect("JSON schemas are in the table");
    Value::Object(fields(numbers, message, depth + 1))
}
