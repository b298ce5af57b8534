//! Values of one word: what JSON they may be, and how they are stored.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use schema::Type;
use serde_json::{Number, Value};

use super::report::Report;
use crate::quantity::Quantity;

/// A value as the reader meets it.
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Bool(bool),
    Number(Number),
}

impl Scalar<'_> {
    /// What Go's decoder calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
        }
    }

    pub fn into_value(self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Bool(value) => value.into(),
            Self::Number(number) => number.into(),
        }
    }
}

/// The value as it is stored; null, and a note in the report, if it is not of the type.
pub(super) fn read(scalar: Scalar<'_>, of: Type, report: &mut Report) -> Value {
    match (of, scalar) {
        (Type::String, Scalar::Text(text)) => text.into(),
        (Type::Bool, Scalar::Bool(value)) | (Type::SchemaOrBool, Scalar::Bool(value)) => value.into(),
        (Type::Double, Scalar::Number(number)) => number.into(),
        (Type::Int32 | Type::Int64, Scalar::Number(number)) => integer(number, of, report),
        (Type::IntOrString, Scalar::Number(number)) => integer(number, Type::Int32, report),
        (Type::IntOrString, Scalar::Text(text)) => text.into(),
        (Type::Quantity, Scalar::Text(text)) => quantity(text, report),
        (Type::Quantity, Scalar::Number(number)) => quantity(&number.to_string(), report),
        (Type::Time, Scalar::Text(text)) => time(text, clock::format_time, report),
        (Type::MicroTime, Scalar::Text(text)) => time(text, clock::format_micro_time, report),
        (Type::Duration, Scalar::Text(text)) => text.into(),
        (Type::Bytes, Scalar::Text(text)) => bytes(text, report),
        (Type::Any, scalar) => scalar.into_value(),
        (Type::Quantity, scalar @ Scalar::Bool(_)) => quantity(&scalar.into_value().to_string(), report),
        (of, scalar) => {
            report.mismatch(scalar.kind(), &go_type(of));
            Value::Null
        }
    }
}

/// What the type is called in Go.
pub(super) fn go_type(of: Type) -> String {
    match of {
        Type::String | Type::IntOrString | Type::Time | Type::MicroTime | Type::Duration => "string".to_owned(),
        Type::Bytes => "[]uint8".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Double => "float64".to_owned(),
        Type::Strings => "[]string".to_owned(),
        Type::FieldsV1 | Type::RawExtension | Type::Any => "map[string]interface {}".to_owned(),
        Type::Quantity | Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings | Type::Message(_) => {
            let mut parts = of.definition().rsplit('.');
            let (name, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{package}.{name}")
        }
    }
}

fn integer(number: Number, of: Type, report: &mut Report) -> Value {
    let fits = number.as_i64().is_some_and(|value| of == Type::Int64 || i32::try_from(value).is_ok());
    if fits {
        return number.into();
    }
    report.mismatch(&format!("number {number}"), &go_type(of));
    Value::Null
}

fn quantity(text: &str, report: &mut Report) -> Value {
    match Quantity::normalize(text) {
        Ok(text) => text.into(),
        Err(error) => {
            report.refuse(error.to_string());
            Value::Null
        }
    }
}

fn bytes(text: &str, report: &mut Report) -> Value {
    // Go's decoder skips line breaks.
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match BASE64_STANDARD.decode(&text) {
        Ok(_) => text.into(),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len(),
            };
            report.refuse(format!("illegal base64 data at input byte {at}"));
            Value::Null
        }
    }
}

fn time(text: &str, print: fn(Timestamp) -> String, report: &mut Report) -> Value {
    if let Some(at) = is_rfc3339(text).then(|| text.parse::<Timestamp>().ok()).flatten() {
        return print(at).into();
    }
    report.refuse(format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""));
    Value::Null
}

/// Whether the shape is that of RFC 3339; `jiff` itself takes more.
fn is_rfc3339(text: &str) -> bool {
    let digits = |part: &str, form: &str| {
        part.len() == form.len()
            && part
                .bytes()
                .zip(form.bytes())
                .all(|(byte, of)| if of == b'0' { byte.is_ascii_digit() } else { byte == of })
    };
    let Some((start, rest)) = text.split_at_checked(19) else { return false };
    let fraction = rest.strip_prefix('.').map_or(0, |rest| 1 + rest.bytes().take_while(u8::is_ascii_digit).count());
    let zone = &rest[fraction..];
    digits(start, "0000-00-00T00:00:00")
        && fraction != 1
        && (zone == "Z" || digits(zone, "+00:00") || digits(zone, "-00:00"))
}
