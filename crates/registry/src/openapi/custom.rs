//! Schemas of custom resources as OpenAPI documents show them (upstream: apiextensions-apiserver
//! pkg/controller/openapi/builder).

use kinds::custom::Custom;
use serde_json::{Map, Value, json};

use super::dialect::Dialect;

/// What every object has.
pub(super) struct Meta {
    pub api_version: Value,
    pub kind: Value,
    pub metadata: Value,
}

/// What OpenAPI 2 has no words for, or other words.
const NOT_IN_V2: &[&str] = &["allOf", "anyOf", "oneOf", "not", "nullable"];

pub(super) fn definition(custom: &Custom, dialect: Dialect, meta: &Meta) -> Value {
    match custom.content().source() {
        Value::Object(schema) if dialect == Dialect::V3 || !(custom.preserves || preserves(&schema)) => {
            described(schema, dialect, meta)
        }
        // Were any property told, kubectl would take all others for unknown.
        _ => json!({"type": "object"}),
    }
}

fn described(mut schema: Map<String, Value>, dialect: Dialect, meta: &Meta) -> Value {
    adapt(&mut schema, dialect, meta);
    let properties = properties(&mut schema);
    properties.insert("apiVersion".to_owned(), meta.api_version.clone());
    properties.insert("kind".to_owned(), meta.kind.clone());
    properties.insert("metadata".to_owned(), meta.metadata.clone());
    Value::Object(schema)
}

fn properties(schema: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    properties.as_object_mut().expect("a schema's properties are a map")
}

fn preserves(schema: &Map<String, Value>) -> bool {
    schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
}

const EMBEDDED_API_VERSION: &str = "apiVersion defines the versioned schema of this representation of an object. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const EMBEDDED_KIND: &str = "kind is a string value representing the type of this object. In CamelCase. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// An object within the object has a header too, which it must have.
fn add_header(schema: &mut Map<String, Value>, meta: &Meta) {
    let properties = properties(schema);
    properties.insert("apiVersion".to_owned(), json!({"type": "string", "description": EMBEDDED_API_VERSION}));
    properties.insert("kind".to_owned(), json!({"type": "string", "description": EMBEDDED_KIND}));
    properties.insert("metadata".to_owned(), meta.metadata.clone());
    let required = schema.entry("required").or_insert_with(|| json!([]));
    for name in ["kind", "apiVersion"] {
        let required = required.as_array_mut().expect("a schema's required fields are a list");
        if !required.iter().any(|named| named == name) {
            required.push(json!(name));
        }
    }
}

/// Takes out what kubectl does not understand of OpenAPI 2 (upstream: pkg/controller/openapi/v2).
fn simplify(schema: &mut Map<String, Value>) {
    let nullable = NOT_IN_V2.iter().fold(false, |_, name| schema.remove(*name) == Some(Value::Bool(true)));
    if nullable {
        // A null is of no type, so that none is told.
        drop_all(schema, &["type", "items", "properties"]);
    }
    if preserves(schema) {
        drop_all(schema, &["items", "properties"]);
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") if !schema.contains_key("items") => drop_all(schema, &["type"]),
        Some("object") if preserves(schema) => drop_all(schema, &["type"]),
        _ => {}
    }
    if schema.get("additionalProperties").is_some_and(is_nullable) {
        drop_all(schema, &["required"]);
    }
    let nullable: Vec<String> = (schema.get("properties").and_then(Value::as_object).into_iter().flatten())
        .filter(|(_, property)| is_nullable(property))
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !nullable.iter().any(|nullable| name == nullable));
        if required.is_empty() {
            drop_all(schema, &["required"]);
        }
    }
}

fn is_nullable(schema: &Value) -> bool {
    schema["nullable"] == true
}

fn drop_all(schema: &mut Map<String, Value>, names: &[&str]) {
    names.iter().for_each(|name| drop(schema.remove(*name)));
}

fn adapt(schema: &mut Map<String, Value>, dialect: Dialect, meta: &Meta) {
    if dialect == Dialect::V2 {
        simplify(schema);
    }
    for name in ["items", "additionalProperties", "not"] {
        if let Some(inner) = schema.get_mut(name).and_then(Value::as_object_mut) {
            adapt(inner, dialect, meta);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        let inner = schema.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten();
        inner.filter_map(Value::as_object_mut).for_each(|inner| adapt(inner, dialect, meta));
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(|of| of.values_mut()).filter_map(Value::as_object_mut) {
        adapt(property, dialect, meta);
    }
    let open = dialect == Dialect::V2 && preserves(schema);
    if !open && schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true)) {
        add_header(schema, meta);
    }
}
