//! Fields taken out of an object.

use serde_json::{Map, Value};

use super::form::{Below, Form};
use super::path::Element;
use super::set::Set;

/// The object without these fields. Where nothing is left of an object or a list, null is left.
pub fn remove(object: &Map<String, Value>, fields: &Set, form: Form) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in object {
        let value = match fields.get(&Element::field(name)) {
            Some(node) if node.member => continue,
            Some(node) => walk(value, &node.children, form.entry(name).unwrap_or(Form::Deduced)),
            None => value.clone(),
        };
        kept.insert(name.clone(), value);
    }
    kept
}

fn walk(value: &Value, fields: &Set, form: Form) -> Value {
    match (form.parts([Some(value), None]), value) {
        (Below::Entries, Value::Object(map)) => {
            let kept = remove(map, fields, form);
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Below::Items, Value::Array(list)) => items(list, fields, form),
        (_, Value::Object(_) | Value::Array(_)) => Value::Null,
        (_, scalar) => scalar.clone(),
    }
}

fn items(list: &[Value], fields: &Set, form: Form) -> Value {
    let mut kept = Vec::with_capacity(list.len());
    for item in list {
        match form.element(item).ok().and_then(|element| fields.get(&element)) {
            Some(node) if node.member => {}
            Some(node) => kept.push(walk(item, &node.children, form.item())),
            None => kept.push(item.clone()),
        }
    }
    if kept.is_empty() { Value::Null } else { Value::Array(kept) }
}

/// The set with all named fields that have members below them; entries of maps and items of lists do not count.
pub fn with_named_fields(fields: &Set, form: Form) -> Set {
    let mut set = Set::default();
    for node in fields.nodes() {
        let (named, below) = match &node.element {
            Element::Field(name) => (form.names(name), form.entry(name).unwrap_or(Form::Deduced)),
            _ => (false, form.item()),
        };
        let member = node.member || named && !node.children.is_empty();
        set.add(node.element.clone(), member, with_named_fields(&node.children, below));
    }
    set
}
