//! A value and what stood in its place before, as far as that can be told (upstream: apiserver pkg/cel/common).

use std::cell::OnceCell;
use std::collections::HashMap;

use serde_json::Value;

use crate::lists::key_of;
use crate::schema::{List, Schema};

/// Errors of values that are what they were are forgiven.
pub struct Correlated<'a> {
    new: &'a Value,
    old: &'a Value,
    schema: &'a Schema,
    same: OnceCell<bool>,
    /// Old items of a list that is a map, by their keys.
    by_key: OnceCell<HashMap<String, &'a Value>>,
}

impl<'a> Correlated<'a> {
    pub fn new(new: &'a Value, old: &'a Value, schema: &'a Schema) -> Self {
        Self { new, old, schema, same: OnceCell::new(), by_key: OnceCell::new() }
    }

    pub fn old(&self) -> &'a Value {
        self.old
    }

    pub fn is_same(&self) -> bool {
        *self.same.get_or_init(|| self.compare())
    }

    /// Lists that are maps are the same in any order.
    fn compare(&self) -> bool {
        match (self.new, self.old) {
            (Value::Array(new), Value::Array(old)) if matches!(self.schema.list, List::Map(_)) => {
                new.len() == old.len() && (0..new.len()).all(|at| self.item(at).is_some_and(|item| item.is_same()))
            }
            (Value::Object(new), Value::Object(old)) => {
                new.len() == old.len() && new.keys().all(|name| self.same_field(name))
            }
            (new, old) => new == old,
        }
    }

    /// Of fields that the schema does not name nothing is known: they count as changed.
    fn same_field(&self, name: &str) -> bool {
        self.field(name).is_some_and(|field| field.is_same())
    }

    pub fn field(&self, name: &str) -> Option<Self> {
        Some(Self::new(self.new.get(name)?, self.old.get(name)?, self.schema.field(name)?))
            .filter(|_| self.new.is_object() && self.old.is_object())
    }

    /// Items of sets and of other lists have no counterpart.
    pub fn item(&self, index: usize) -> Option<Self> {
        let List::Map(keys) = &self.schema.list else { return None };
        let new = self.new.as_array()?.get(index)?;
        let by_key = self.by_key.get_or_init(|| {
            let old = self.old.as_array().into_iter().flatten().filter(|item| item.is_object());
            let mut by_key = HashMap::new();
            for item in old {
                by_key.entry(key_of(keys, item).to_string()).or_insert(item);
            }
            by_key
        });
        let old = by_key.get(&key_of(keys, new).to_string())?;
        Some(Self::new(new, old, self.schema.items.as_deref()?))
    }
}
