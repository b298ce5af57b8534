//! A value and where it is, so that checks read both together.

use std::collections::BTreeMap;

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use serde_json::Value;

static ABSENT: Value = Value::Null;

/// Bytes of a list or a map that an error repeats. What is larger is left out: there may be as many errors as items.
const REPEATED_MAX: usize = 4096;

#[derive(Clone, Debug)]
pub struct At<'a> {
    /// Null when there is nothing.
    pub value: &'a Value,
    pub path: Path,
}

impl<'a> At<'a> {
    /// A field at the top of an object.
    pub fn field(object: &'a Object, name: &str) -> Self {
        Self { value: object.0.get(name).unwrap_or(&ABSENT), path: Path::new(name) }
    }

    /// The same value, somewhere else.
    pub fn at(self, path: Path) -> Self {
        Self { path, ..self }
    }

    pub fn child(&self, name: &str) -> Self {
        Self { value: self.value.get(name).unwrap_or(&ABSENT), path: self.path.child(name) }
    }

    /// The elements of a list.
    pub fn items(&self) -> Vec<Self> {
        let items = self.value.as_array().map_or(&[][..], Vec::as_slice);
        items.iter().enumerate().map(|(index, value)| Self { value, path: self.path.index(index) }).collect()
    }

    /// Where the element at `index` is or would be.
    pub fn index_path(&self, index: usize) -> Path {
        self.path.index(index)
    }

    /// The entries of a map.
    pub fn entries(&self) -> Vec<(&'a str, Self)> {
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(|(key, value)| (key.as_str(), Self { value, path: self.path.key(key) })).collect()
    }

    /// A map of texts, as labels and annotations are.
    pub fn strings(&self) -> BTreeMap<String, String> {
        self.entries().iter().map(|(key, at)| ((*key).to_owned(), at.text().to_owned())).collect()
    }

    /// Those of `names` that are set.
    pub fn set_children(&self, names: &[&str]) -> Vec<Self> {
        names.iter().map(|name| self.child(name)).filter(Self::is_set).collect()
    }

    /// The last part of the path: the name of the field.
    pub fn name(&self) -> String {
        self.path.to_string().rsplit('.').next().unwrap_or_default().to_owned()
    }

    /// The text there is; empty when there is none.
    pub fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    pub fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    pub fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }

    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// Absent, or an empty text, list or map.
    pub fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// The value as errors show it.
    fn shown(&self) -> Value {
        let small = !(self.value.is_array() || self.value.is_object()) || left(self.value, REPEATED_MAX).is_some();
        if small { self.value.clone() } else { "...".into() }
    }

    pub fn required(&self, detail: &str) -> Error {
        Error::required(&self.path, detail)
    }

    pub fn invalid(&self, detail: impl Into<String>) -> Error {
        Error::invalid(&self.path, self.shown(), detail)
    }

    /// Invalid, shown as the empty text, as upstream shows objects that lack something.
    pub fn invalid_empty(&self, detail: &str) -> Error {
        Error::invalid(&self.path, "", detail)
    }

    pub fn forbidden(&self, detail: impl Into<String>) -> Error {
        Error::forbidden(&self.path, detail)
    }

    pub fn not_supported(&self, supported: &[&str]) -> Error {
        Error::not_supported(&self.path, self.shown(), supported)
    }

    pub fn not_found(&self) -> Error {
        Error::not_found(&self.path, self.shown())
    }

    pub fn duplicate(&self) -> Error {
        Error::duplicate(&self.path, self.shown())
    }

    /// What `check` says about the text, which is empty when there is none.
    pub fn check(&self, check: fn(&str) -> Vec<String>) -> ErrorList {
        let messages = check(self.text()).into_iter();
        messages.map(|message| Error::invalid(&self.path, self.text(), message)).collect()
    }

    pub fn messages(&self, messages: Vec<String>) -> ErrorList {
        messages.into_iter().map(|message| self.invalid(message)).collect()
    }
}

/// What is left of `room` bytes beside a value; nothing when it does not fit.
fn left(value: &Value, room: usize) -> Option<usize> {
    let room = room.checked_sub(1)?;
    match value {
        Value::String(text) => room.checked_sub(text.len()),
        Value::Array(items) => items.iter().try_fold(room, |room, item| left(item, room)),
        Value::Object(fields) => {
            fields.iter().try_fold(room, |room, (key, field)| left(field, room.checked_sub(key.len())?))
        }
        _ => Some(room),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_do_not_repeat_large_lists() {
        let shown = |value: &Value| At { value, path: Path::new("a") }.invalid("wrong").to_string();
        assert_eq!(shown(&json!(["b", {"c": 1}])), r#"a: Invalid value: ["b",{"c":1}]: wrong"#);
        assert_eq!(shown(&json!(vec!["b"; REPEATED_MAX])), r#"a: Invalid value: "...": wrong"#);
    }
}
