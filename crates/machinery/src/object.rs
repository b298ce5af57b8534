//! An API object as a JSON tree, with what every object has within reach.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::names::GroupVersionKind;

/// Lists and maps within each other: what goes deeper can not be read back.
pub const DEPTH_MAX: usize = 120;

/// A JSON object that is an API object: `apiVersion`, `kind`, `metadata` and the rest.
///
/// Accessors answer absent and wrongly typed fields alike with `None` or an empty value: types are
/// checked against the schema before an object is looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Object(pub Map<String, Value>);

/// How many lists and maps lie within each other.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

impl Object {
    pub fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            _ => None,
        }
    }

    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("a JSON tree always prints")
    }

    /// The value at `path`, field by field.
    pub fn get(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, field| value.get(field))
    }

    /// The text at `path`; empty if there is none.
    pub fn str(&self, path: &[&str]) -> &str {
        self.get(path).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn int(&self, path: &[&str]) -> Option<i64> {
        self.get(path).and_then(Value::as_i64)
    }

    pub fn bool(&self, path: &[&str]) -> bool {
        self.get(path).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The list at `path`; empty if there is none.
    pub fn list(&self, path: &[&str]) -> &[Value] {
        self.get(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub fn map(&self, path: &[&str]) -> Option<&Map<String, Value>> {
        self.get(path).and_then(Value::as_object)
    }

    /// The object at `path`, made if it is absent or of another type.
    pub fn map_mut(&mut self, path: &[&str]) -> &mut Map<String, Value> {
        path.iter().fold(&mut self.0, |map, field| child_map(map, field))
    }

    /// Sets the value at `path`, making the objects above it.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let (last, parents) = path.split_last().expect("a path has at least one field");
        self.map_mut(parents).insert((*last).to_owned(), value.into());
    }

    /// Sets the value at `path` unless there is one that is not null.
    pub fn set_default(&mut self, path: &[&str], value: impl Into<Value>) {
        if self.get(path).is_none_or(Value::is_null) {
            self.set(path, value);
        }
    }

    /// Takes the value at `path` out.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        parents.iter().try_fold(&mut self.0, |map, field| map.get_mut(*field)?.as_object_mut())?.remove(*last)
    }

    pub fn api_version(&self) -> &str {
        self.str(&["apiVersion"])
    }

    pub fn kind(&self) -> &str {
        self.str(&["kind"])
    }

    pub fn gvk(&self) -> GroupVersionKind {
        let gv = crate::GroupVersion::parse(self.api_version());
        GroupVersionKind::new(gv.group, gv.version, self.kind())
    }

    pub fn name(&self) -> &str {
        self.str(&["metadata", "name"])
    }

    /// Empty for objects of cluster scope.
    pub fn namespace(&self) -> &str {
        self.str(&["metadata", "namespace"])
    }

    pub fn uid(&self) -> &str {
        self.str(&["metadata", "uid"])
    }

    pub fn resource_version(&self) -> &str {
        self.str(&["metadata", "resourceVersion"])
    }

    pub fn generation(&self) -> i64 {
        self.int(&["metadata", "generation"]).unwrap_or(0)
    }

    pub fn is_deleting(&self) -> bool {
        !self.str(&["metadata", "deletionTimestamp"]).is_empty()
    }

    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.list(&["metadata", "finalizers"]).iter().filter_map(Value::as_str)
    }

    pub fn labels(&self) -> BTreeMap<String, String> {
        self.strings(&["metadata", "labels"])
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.get(&["metadata", "annotations", key]).and_then(Value::as_str)
    }

    /// The map of texts at `path`; empty if there is none.
    pub fn strings(&self, path: &[&str]) -> BTreeMap<String, String> {
        let pairs = self.map(path).into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }
}

fn child_map<'a>(map: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    let child = map.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    child.as_object_mut().expect("made an object just above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_made_and_taken() {
        let mut object = Object::default();
        object.set(&["metadata", "name"], "web");
        object.set_default(&["metadata", "name"], "other");
        object.set_default(&["spec", "replicas"], 1);
        assert_eq!((object.name(), object.int(&["spec", "replicas"])), ("web", Some(1)));
        assert_eq!(object.remove(&["spec", "replicas"]), Some(Value::from(1)));
        assert_eq!(object.remove(&["status", "replicas"]), None);
    }
}
