//! Defaults in a schema are values that the schema takes (upstream: schema/defaulting/validation.go).

use machinery::field::{Error, ErrorList, Path, aggregate};
use serde_json::{Map, Value, json};

use crate::embedded::coerce_metadata;
use crate::run::Budget;
use crate::schema::Schema;

/// Checks the defaults of a resource's schema. `pruned` says that they may hold no unknown fields.
pub fn check_defaults(path: &Path, root: &Schema, pruned: bool) -> ErrorList {
    let mut walk = Walk { errors: ErrorList::new(), budget: Budget::default(), pruned };
    walk.visit(path, root, true, false, &[]);
    walk.errors
}

struct Walk {
    errors: ErrorList,
    budget: Budget,
    pruned: bool,
}

impl Walk {
    /// `meta` leads from the innermost resource to here, where this is its type or metadata.
    fn visit(&mut self, path: &Path, schema: &Schema, resource: bool, in_meta: bool, meta: &[&str]) {
        let resource = resource || schema.embedded;
        let in_meta = in_meta && !schema.embedded;
        if let Some(default) = &schema.default {
            let at = path.child("default");
            if in_meta {
                self.in_metadata(&at, schema, default, meta);
            } else {
                self.value(&at, schema, default, resource);
            }
        }
        // Defaults below `additionalProperties` are forbidden.
        if let Some(items) = &schema.items {
            self.visit(&path.child("items"), items, false, in_meta, meta);
        }
        for (name, of) in &schema.properties {
            let is_meta = resource && ["metadata", "apiVersion", "kind"].contains(&&**name);
            let below = path.child("properties").key(name);
            let way: Vec<&str> = if is_meta { vec![name] } else { meta.iter().copied().chain([&**name]).collect() };
            self.visit(&below, of, false, in_meta || is_meta, &way);
        }
    }

    fn value(&mut self, at: &Path, schema: &Schema, default: &Value, resource: bool) {
        if self.pruned {
            let mut pruned = default.clone();
            schema.prune_value(&mut pruned, resource);
            if pruned != *default {
                self.errors.push(Error::invalid(at, default.clone(), "must not have unknown fields"));
            }
        }
        if let Value::Object(object) = default {
            let mut coerced = object.clone();
            if let Err(error) = schema.coerce_fields(at, &mut coerced, resource, false, &mut Vec::new()) {
                return self.errors.push(error);
            }
            let mut errors = ErrorList::new();
            schema.embedded_in_fields(at, object, resource, &mut errors);
            if !errors.is_empty() {
                return self.errors.extend(errors);
            }
        }
        self.rest(at, schema, default);
    }

    /// The default makes metadata of an object that is all but empty.
    fn in_metadata(&mut self, at: &Path, schema: &Schema, default: &Value, meta: &[&str]) {
        let mut object: Map<String, Value> = [("apiVersion", "validation/v1"), ("kind", "Validation")]
            .map(|(name, of)| (name.to_owned(), json!(of)))
            .into_iter()
            .collect();
        let made = meta.iter().rev().fold(default.clone(), |inner, name| json!({*name: inner}));
        object.extend(made.as_object().cloned().unwrap_or_default());
        let wrong = |why: String| Error::invalid(at, default.clone(), format!("must result in valid metadata: {why}"));
        if let Err(why) = coerce_metadata(&mut object, "", false, &mut Vec::new()) {
            let error = Error::invalid(&Path::new("metadata"), made["metadata"].clone(), why);
            return self.errors.push(wrong(error.to_string()));
        }
        let mut errors = ErrorList::new();
        Schema::default().embedded_in_fields(&Path::root(), &object, true, &mut errors);
        if !errors.is_empty() {
            return self.errors.push(wrong(aggregate(&errors)));
        }
        self.rest(at, schema, default);
    }

    fn rest(&mut self, at: &Path, schema: &Schema, default: &Value) {
        let errors = schema.check(at, default, None);
        if !errors.is_empty() {
            return self.errors.extend(errors);
        }
        // As an update that changes nothing, and as one that brings it in.
        for old in [Some(default), None] {
            let errors = schema.check_rules(at, default, old, None, &mut self.budget, &mut Vec::new());
            let failed = !errors.is_empty();
            self.errors.extend(errors);
            if failed {
                return;
            }
        }
    }
}
