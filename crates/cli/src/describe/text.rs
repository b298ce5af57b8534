//! Text with aligned values, and readers of plain JSON.

use serde_json::Value;

use crate::align::align;

/// Lines whose cells are parted by tabs, aligned at the end.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    pub fn aligned(&self) -> String {
        align(&self.0, 0, 2)
    }

    /// A line, two spaces further in for each level.
    pub fn line(&mut self, level: usize, line: &str) {
        self.0.push_str(&"  ".repeat(level));
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// `NAME:  VALUE`
    pub fn field(&mut self, level: usize, name: &str, value: impl std::fmt::Display) {
        self.line(level, &format!("{name}:\t{value}"));
    }

    /// The same, unless there is no value.
    pub fn optional(&mut self, level: usize, name: &str, value: &str) {
        if !value.is_empty() {
            self.field(level, name, value);
        }
    }

    /// One line for each value, the first beside the name.
    pub fn values(&mut self, level: usize, name: &str, values: &[String]) {
        let (first, rest) = match values.split_first() {
            None => ("<none>", values),
            Some((first, rest)) => (first.as_str(), rest),
        };
        self.field(level, name, first);
        for value in rest {
            self.line(level, &format!("\t{value}"));
        }
    }

    /// Name, namespace, labels, annotations: how every object begins.
    pub fn head(&mut self, object: &Value) {
        self.field(0, "Name", text(&object["metadata"]["name"]));
        self.optional(0, "Namespace", text(&object["metadata"]["namespace"]));
    }

    pub fn labels(&mut self, level: usize, labels: &Value) {
        self.values(level, "Labels", &pairs(labels, "="));
    }

    /// Without the configuration that was applied last, which the object shows anyway.
    pub fn annotations(&mut self, level: usize, annotations: &Value) {
        let mut annotations = annotations.clone();
        if let Some(fields) = annotations.as_object_mut() {
            fields.remove(crate::apply::LAST_APPLIED);
        }
        self.values(level, "Annotations", &pairs(&annotations, ": "));
    }

    /// A table with a ruler below its headers.
    pub fn table(&mut self, level: usize, headers: &[&str], rows: &[Vec<String>]) {
        self.line(level, &headers.join("\t"));
        let rulers: Vec<String> = headers.iter().map(|header| "-".repeat(header.len())).collect();
        self.line(level, &rulers.join("\t"));
        for row in rows {
            self.line(level, &row.join("\t"));
        }
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text, number or boolean as text; nothing for nothing.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

pub fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The fields of a map, each with its value behind the separator.
pub fn pairs(map: &Value, separator: &str) -> Vec<String> {
    let fields = map.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name}{separator}{}", plain(value))).collect()
}

/// `True`, `False` as Go's conditions are written.
pub fn titled(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// `Kind/name` of the controlling owner.
pub fn controller(object: &Value) -> Option<String> {
    let owner = items(&object["metadata"]["ownerReferences"]).iter().find(|owner| owner["controller"] == true)?;
    Some(format!("{}/{}", text(&owner["kind"]), text(&owner["name"])))
}
