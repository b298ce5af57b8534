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
    let mut schema = match custom.source() {
        Value::Object(schema) if !custom.preserves => schema,
        // Nobody may rely on a schema that does not prune.
        _ => [("type".to_owned(), json!("object")), (PRESERVE.to_owned(), json!(true))].into_iter().collect(),
    };
    adapt(&mut schema, dialect, meta);
    add_meta(&mut schema, meta);
    Value::Object(schema)
}

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

fn add_meta(schema: &mut Map<String, Value>, meta: &Meta) {
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    for (name, value) in [("apiVersion", &meta.api_version), ("kind", &meta.kind), ("metadata", &meta.metadata)] {
        properties[name] = value.clone();
    }
}

fn adapt(schema: &mut Map<String, Value>, dialect: Dialect, meta: &Meta) {
    if dialect == Dialect::V2 {
        for name in NOT_IN_V2 {
            let said = schema.remove(*name);
            // A null is of no type, so that none is told.
            if *name == "nullable" && said == Some(Value::Bool(true)) {
                ["type", "items", "properties"].iter().for_each(|told| drop(schema.remove(*told)));
            }
        }
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
    if schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true)) {
        add_meta(schema, meta);
    }
}
