//! Removes what a schema does not name (upstream: schema/pruning).

use serde_json::{Map, Value};

use crate::schema::Schema;

/// Paths of fields that were removed, as upstream writes them, in order.
#[derive(Debug, Default)]
pub struct UnknownFields {
    path: String,
    pub found: Vec<String>,
}

/// Unknown fields that are listed at most.
const FOUND_MAX: usize = 100;

impl UnknownFields {
    fn below<R>(&mut self, part: &str, dot: bool, inside: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        if dot && length > 0 {
            self.path.push('.');
        }
        self.path.push_str(part);
        let result = inside(self);
        self.path.truncate(length);
        result
    }

    fn record(&mut self, field: &str) {
        if self.found.len() < FOUND_MAX {
            let path = self.below(field, true, |unknown| unknown.path.clone());
            self.found.push(path);
        }
    }
}

const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

impl Schema {
    /// Removes unknown fields of a resource; the root's type and metadata stay.
    pub fn prune(&self, object: &mut Map<String, Value>, unknown: &mut UnknownFields) {
        map(object, Some(self), true, unknown);
        unknown.found.sort();
    }

    /// The same for any value; `embedded` says whether it is a resource of its own.
    pub(crate) fn prune_value(&self, value: &mut Value, embedded: bool) {
        let mut unknown = UnknownFields::default();
        match value {
            Value::Object(object) => map(object, Some(self), embedded, &mut unknown),
            other => prune(other, Some(self), &mut unknown),
        }
    }
}

fn prune(value: &mut Value, schema: Option<&Schema>, unknown: &mut UnknownFields) {
    match value {
        Value::Object(object) => map(object, schema, schema.is_some_and(|of| of.embedded), unknown),
        Value::Array(items) => {
            let of = schema.and_then(|of| of.items.as_deref());
            let keeps = schema.is_some_and(|of| of.preserves);
            for (index, item) in items.iter_mut().enumerate() {
                unknown.below(&format!("[{index}]"), false, |unknown| match keeps {
                    true => keep(item, of, unknown),
                    false => prune(item, of, unknown),
                });
            }
        }
        _ => {}
    }
}

fn map(object: &mut Map<String, Value>, schema: Option<&Schema>, embedded: bool, unknown: &mut UnknownFields) {
    let Some(schema) = schema else {
        object.keys().for_each(|name| unknown.record(name));
        return object.clear();
    };
    let is_meta = |name: &str| embedded && META.contains(&name);
    if schema.preserves {
        return keep_fields(object, schema, embedded, unknown);
    }
    object.retain(|name, value| {
        if is_meta(name) {
            return true;
        }
        if schema.properties.contains_key(name.as_str()) || schema.has_additional() {
            unknown.below(name, true, |unknown| prune(value, schema.field(name), unknown));
            return true;
        }
        if !META.contains(&name.as_str()) || !unknown.path.is_empty() {
            unknown.record(name);
        }
        false
    });
}

/// Where unknown fields stay, known ones may still not hold some.
fn keep(value: &mut Value, schema: Option<&Schema>, unknown: &mut UnknownFields) {
    let Some(schema) = schema else { return };
    match value {
        Value::Object(object) => keep_fields(object, schema, schema.embedded, unknown),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let of = schema.items.as_deref();
                unknown.below(&format!("[{index}]"), false, |unknown| keep(item, of, unknown));
            }
        }
        _ => {}
    }
}

fn keep_fields(object: &mut Map<String, Value>, schema: &Schema, embedded: bool, unknown: &mut UnknownFields) {
    for (name, value) in object.iter_mut() {
        if embedded && META.contains(&name.as_str()) {
            continue;
        }
        if schema.properties.contains_key(name.as_str()) || schema.has_additional() {
            unknown.below(name, true, |unknown| prune(value, schema.field(name), unknown));
        }
    }
}
