//! Lists that are sets or maps hold nothing twice (upstream: schema/listtype).

use std::collections::HashMap;

use machinery::field::{Error, ErrorList, Path};
use serde_json::{Map, Value};

use crate::schema::{List, Schema};

impl Schema {
    /// What is wrong with the lists of an object.
    pub fn check_lists(&self, object: &Map<String, Value>) -> ErrorList {
        let mut errors = ErrorList::new();
        self.fields(&Path::root(), object, &mut errors);
        errors
    }

    fn fields(&self, path: &Path, object: &Map<String, Value>, errors: &mut ErrorList) {
        for (name, value) in object {
            if let Some(of) = self.additional() {
                of.value(&path.key(name), value, errors);
            }
            if let Some(of) = self.properties.get(name.as_str()) {
                of.value(&path.child(name), value, errors);
            }
        }
    }

    fn value(&self, path: &Path, value: &Value, errors: &mut ErrorList) {
        match value {
            Value::Array(items) => self.array(path, items, errors),
            Value::Object(object) => self.fields(path, object, errors),
            _ => {}
        }
    }

    fn array(&self, path: &Path, items: &[Value], errors: &mut ErrorList) {
        match &self.list {
            List::Atomic => {}
            List::Set => {
                let found = repeated(items.iter()).into_iter();
                errors.extend(found.map(|index| Error::duplicate(&path.index(index), items[index].clone())));
            }
            List::Map(keys) => errors.extend(check_map(path, keys, items)),
        }
        if let Some(of) = &self.items {
            for (index, item) in items.iter().enumerate() {
                of.value(&path.index(index), item, errors);
            }
        }
    }
}

/// Where values appear for the second time.
fn repeated<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            found.push(index);
        }
    }
    found
}

fn check_map(path: &Path, keys: &[Box<str>], items: &[Value]) -> ErrorList {
    if let Some(index) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
        let text = "must be an object for an array of list-type map";
        return vec![Error::invalid(&path.index(index), items[index].clone(), text)];
    }
    let told: Vec<Value> = items.iter().map(|item| key_of(keys, item)).collect();
    let found = repeated(told.iter()).into_iter();
    found.map(|index| Error::duplicate(&path.index(index), told[index].clone())).collect()
}

/// The keys of an item and their values.
pub(crate) fn key_of(keys: &[Box<str>], item: &Value) -> Value {
    let pairs = keys.iter().filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())));
    Value::Object(pairs.collect())
}
