//! The fields that an applied configuration holds.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::form::{Below, Form, items};
use super::path::Element;
use super::set::Set;

/// The fields of an object.
pub fn field_set(object: &Map<String, Value>, form: Form) -> Set {
    entries(object, form)
}

/// Whether the value is a field itself, and the fields below it. An empty list that merges item by item says
/// nothing.
fn walk(value: &Value, form: Form) -> (bool, Set) {
    match (form.parts([Some(value), None]), value) {
        (Below::Nothing, _) => (true, Set::default()),
        (Below::Entries, Value::Object(map)) => (map.is_empty(), entries(map, form)),
        (Below::Items, Value::Array(_)) => (false, list(value, form)),
        (Below::Entries | Below::Items, other) => (other.is_null(), Set::default()),
    }
}

fn entries(map: &Map<String, Value>, form: Form) -> Set {
    let mut set = Set::default();
    for (name, value) in map {
        let (leaf, children) = walk(value, form.entry(name).unwrap_or(Form::Deduced));
        set.add(Element::field(name), leaf || !form.names(name), children);
    }
    set
}

/// Items that are there more than once are members with nothing below.
fn list(value: &Value, form: Form) -> Set {
    let mut found: BTreeMap<Element, Option<&Value>> = BTreeMap::new();
    for (element, item) in items(form, Some(value)) {
        found.entry(element).and_modify(|item| *item = None).or_insert(Some(item));
    }
    let mut set = Set::default();
    for (element, item) in found {
        let children = item.map(|item| walk(item, form.item()).1).unwrap_or_default();
        set.add(element, true, children);
    }
    set
}
