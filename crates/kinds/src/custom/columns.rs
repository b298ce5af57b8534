//! Columns that definitions add to tables.

use machinery::jsonpath::JsonPath;
use serde_json::{Value, json};

use crate::duration::human_since;
use crate::tree::{int_of, str_of};

/// `CustomResourceColumnDefinition`.
pub struct PrinterColumn {
    pub name: String,
    pub of_type: String,
    pub format: String,
    pub description: String,
    pub priority: i64,
    path: Option<JsonPath>,
}

const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
                   not guaranteed to be set in happens-before order across separate operations. Clients may not set \
                   this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. \
                   Read-only. Null for lists. More info: \
                   https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

impl PrinterColumn {
    pub(super) fn new(column: &Value) -> Self {
        let path = str_of(column, "jsonPath");
        let described = str_of(column, "description");
        let description = match described {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            own => own.to_owned(),
        };
        let text = |name: &str| str_of(column, name).to_owned();
        Self {
            name: text("name"),
            of_type: text("type"),
            format: text("format"),
            description,
            priority: int_of(column, "priority"),
            path: JsonPath::parse(path),
        }
    }

    /// The column of kinds that have none.
    pub(super) fn age() -> Self {
        Self::new(&json!({
            "name": "Age", "type": "date", "description": AGE, "jsonPath": ".metadata.creationTimestamp",
        }))
    }

    /// What the first value on the path shows; null where there is none or it is of another type.
    pub fn cell(&self, object: &Value) -> Value {
        let found = self.path.as_ref().and_then(|path| path.find(object).into_iter().next());
        let Some(value) = found else { return Value::Null };
        match (self.of_type.as_str(), value) {
            (_, Value::Null) => Value::Null,
            ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            ("string", other) => other.to_string().into(),
            ("integer", Value::Number(number)) => {
                number.as_i64().or_else(|| number.as_f64().map(|value| value as i64)).into()
            }
            ("number", Value::Number(_)) => value.clone(),
            ("date", Value::String(text)) if text.parse::<jiff::Timestamp>().is_ok() => human_since(text).into(),
            ("date", Value::String(_)) => "<invalid>".into(),
            _ => Value::Null,
        }
    }
}
