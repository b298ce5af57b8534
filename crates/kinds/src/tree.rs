//! Small steps through JSON trees for the hooks. Null counts as absent throughout, as it does upstream.

use machinery::Object;
use serde_json::Value;

pub type Map = serde_json::Map<String, Value>;

/// Sets `field` unless it has a value.
pub fn default(map: &mut Map, field: &str, value: impl Into<Value>) {
    if is_absent(map, field) {
        map.insert(field.to_owned(), value.into());
    }
}

/// Sets a text that is absent or empty.
pub fn default_text(map: &mut Map, field: &str, value: &str) {
    if text(map, field).is_empty() {
        map.insert(field.to_owned(), value.into());
    }
}

pub fn is_absent(map: &Map, field: &str) -> bool {
    map.get(field).is_none_or(Value::is_null)
}

/// The object at `field`, if there is one.
pub fn child<'a>(map: &'a mut Map, field: &str) -> Option<&'a mut Map> {
    map.get_mut(field)?.as_object_mut()
}

/// The object at `field`, made when there is none.
pub fn child_or_new<'a>(map: &'a mut Map, field: &str) -> &'a mut Map {
    let child = map.entry(field).or_insert(Value::Null);
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    child.as_object_mut().expect("made an object just above")
}

/// Calls `change` with every object of the list at `field`.
pub fn each(map: &mut Map, field: &str, change: impl FnMut(&mut Map)) {
    let items = map.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(Value::as_object_mut).for_each(change);
}

pub fn text<'a>(map: &'a Map, field: &str) -> &'a str {
    map.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The text at `field` of any value; empty if there is none.
pub fn str_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

pub fn int_of(value: &Value, field: &str) -> i64 {
    value.get(field).and_then(Value::as_i64).unwrap_or(0)
}

/// The list at `field` of any value; empty if there is none.
pub fn list_of<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A value that is there and not null.
pub fn present<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    value.get(field).filter(|value| !value.is_null())
}

/// Numbers of the status that upstream's encoding always shows.
pub fn default_status_number(object: &mut Object, fields: &[&str]) {
    let status = child_or_new(&mut object.0, "status");
    fields.iter().for_each(|field| default(status, field, 0));
}

/// The status condition of a type.
pub fn condition<'a>(object: &'a Object, of_type: &str) -> Option<&'a Value> {
    object.list(&["status", "conditions"]).iter().find(|condition| str_of(condition, "type") == of_type)
}

pub fn condition_is_true(object: &Object, of_type: &str) -> bool {
    condition(object, of_type).is_some_and(|condition| str_of(condition, "status") == "True")
}
