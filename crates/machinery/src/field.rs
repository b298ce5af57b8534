//! Field paths and field errors, worded as upstream words them.

use std::fmt;

use serde_json::Value;

use crate::error::Cause;

/// Where a field is: `spec.containers[0].name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    pub fn new(first: &str) -> Self {
        Self(first.to_owned())
    }

    /// Field `name` of this one; `name` may hold several, parted by dots.
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self::new(name) } else { Self(format!("{}.{name}", self.0)) }
    }

    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The entry `key` of a map: `metadata.labels[key]`.
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    /// Invalid, of which the value is not shown.
    Withheld,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

impl ErrorKind {
    /// `metav1.StatusCause.reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid | Self::Withheld => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::Withheld | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Withheld | Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub kind: ErrorKind,
    pub field: Path,
    pub value: Value,
    /// The value is left out of the text: it says nothing, or too much.
    pub omits_value: bool,
    pub detail: String,
}

/// What is wrong with an object; empty when nothing is.
pub type ErrorList = Vec<Error>;

impl Error {
    fn new(kind: ErrorKind, field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { kind, field: field.clone(), value: value.into(), omits_value: false, detail: detail.into() }
    }

    /// The same with a text that does not show the value.
    pub fn without_value(self) -> Self {
        Self { omits_value: true, ..self }
    }

    pub fn required(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, field, Value::Null, detail)
    }

    pub fn invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, field, value, detail)
    }

    /// Invalid, without showing the value.
    pub fn withheld(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Withheld, field, Value::Null, detail)
    }

    pub fn duplicate(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::Duplicate, field, value, "")
    }

    pub fn not_found(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::NotFound, field, value, "")
    }

    pub fn forbidden(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, field, Value::Null, detail)
    }

    pub fn not_supported(field: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::new(ErrorKind::NotSupported, field, value, detail)
    }

    /// `limit` is in bytes.
    pub fn too_long(field: &Path, limit: usize) -> Self {
        Self::new(ErrorKind::TooLong, field, Value::Null, format!("may not be more than {limit} bytes"))
    }

    pub fn too_many(field: &Path, actual: usize, limit: usize) -> Self {
        let items = if limit == 1 { "item" } else { "items" };
        Self::new(ErrorKind::TooMany, field, actual, format!("must have at most {limit} {items}"))
    }

    pub fn internal(field: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, field, Value::Null, detail)
    }

    /// The error without its field: `Invalid value: "x": must be ...`.
    pub fn body(&self) -> String {
        let mut body = self.kind.text().to_owned();
        if self.kind.shows_value() && !self.omits_value {
            body = format!("{body}: {}", shown(&self.value));
        }
        if self.detail.is_empty() { body } else { format!("{body}: {}", self.detail) }
    }

    pub fn cause(&self) -> Cause {
        Cause { reason: self.kind.reason().to_owned(), message: self.body(), field: self.field.to_string() }
    }
}

/// A value as Go prints it; lists and objects with what its JSON escapes for the sake of HTML.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => {
            value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
        }
        scalar => scalar.to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// Upstream's text for a list: one error bare, several in brackets.
pub fn aggregate(errors: &[Error]) -> String {
    let texts: Vec<String> = errors.iter().map(Error::to_string).collect();
    match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_upstream_writes_them() {
        let name = Path::new("spec").child("containers").index(0).child("name");
        assert_eq!(Error::required(&name, "").to_string(), "spec.containers[0].name: Required value");
        assert_eq!(
            Error::not_supported(&name, "a", &["b", "c"]).to_string(),
            r#"spec.containers[0].name: Unsupported value: "a": supported values: "b", "c""#
        );
        assert_eq!(
            Error::invalid(&Path::new("metadata").child("labels").key("x"), 3, "bad").to_string(),
            "metadata.labels[x]: Invalid value: 3: bad"
        );
    }
}
