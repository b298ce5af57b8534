//! Reads JSON along a shape, without copying it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::Quantity;
use serde_json::Value as Json;

use crate::error::Error;
use crate::list::List;
use crate::map::Map;
use crate::shape::{Form, Merge, Shape};
use crate::time;
use crate::value::Value;

/// `json`, which should be as `shape` says.
pub fn read<'a>(json: &'a Json, shape: &'a Shape) -> Result<Value<'a>, Error> {
    if json.is_null() && shape.form != Form::Dyn {
        return match shape.nullable {
            true => Ok(Value::Null),
            false => Err(Error::failed("invalid data, got null for schema with nullable=false")),
        };
    }
    match (&shape.form, json) {
        (Form::Dyn, _) => Ok(read_any(json)),
        (Form::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Form::Int, Json::Number(number)) => number.as_i64().map(Value::Int).ok_or_else(|| unexpected("int", json)),
        (Form::Double, Json::Number(number)) => Ok(Value::Double(number.as_f64().unwrap_or(f64::NAN))),
        (Form::List(items, merge), Json::Array(elements)) => Ok(Value::List(List::json(elements, Some(items), merge))),
        (Form::Map(_) | Form::Object(_), Json::Object(map)) => Ok(Value::Map(Map::Json(map, Some(shape)))),
        (Form::String, Json::String(text)) => Ok(Value::from(text.as_str())),
        (_, Json::String(text)) => read_text(text, json, shape),
        (Form::IntOrString, Json::Number(number)) if number.is_i64() => Ok(read_any(json)),
        (Form::Bool, _) => Err(unexpected("bool", json)),
        (Form::Int, _) => Err(unexpected("int", json)),
        (Form::Double, _) => Err(unexpected("float", json)),
        (Form::IntOrString, _) => {
            Err(Error::failed("invalid data, expected XIntOrString value to be either a string or integer"))
        }
        (Form::List(..), _) => {
            Err(Error::failed("invalid data, expected an array for the provided schema with type=array"))
        }
        (Form::Map(_) | Form::Object(_), _) => {
            Err(Error::failed("invalid data, expected a map for the provided schema with type=object"))
        }
        _ => Err(unexpected("string", json)),
    }
}

/// `json` as it is.
pub fn read_any(json: &Json) -> Value<'_> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::Int(value),
            None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(elements) => Value::List(List::json(elements, None, &Merge::Atomic)),
        Json::Object(map) => Value::Map(Map::Json(map, None)),
    }
}

/// A string that stands for something else.
fn read_text<'a>(text: &'a str, json: &Json, shape: &Shape) -> Result<Value<'a>, Error> {
    match shape.form {
        Form::IntOrString => Ok(Value::from(text)),
        Form::Bytes => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Value::Bytes(bytes.into())),
            Err(error) => Err(Error::failed(format!("Invalid byte formatted string {text}: {error}"))),
        },
        Form::Quantity => match Quantity::parse(text) {
            Ok(amount) => Ok(crate::library::quantity(amount)),
            Err(error) => Err(Error::failed(error.to_string())),
        },
        Form::Duration => time::parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| Error::failed(format!("Invalid duration {text}: unable to parse {text} as a duration"))),
        Form::Date => time::parse_date(text)
            .map(Value::Timestamp)
            .ok_or_else(|| Error::failed(format!("Invalid date formatted string {text}"))),
        Form::DateTime => time::parse_timestamp(text)
            .map(Value::Timestamp)
            .ok_or_else(|| Error::failed(format!("Invalid date-time formatted string {text}"))),
        Form::Bool => Err(unexpected("bool", json)),
        Form::Int => Err(unexpected("int", json)),
        Form::Double => Err(unexpected("float", json)),
        Form::List(..) => Err(Error::failed("invalid data, expected an array for the provided schema with type=array")),
        _ => Err(Error::failed("invalid data, expected a map for the provided schema with type=object")),
    }
}

fn unexpected(wanted: &str, json: &Json) -> Error {
    let got = match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_i64() => "int64",
        Json::Number(_) => "float64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    };
    Error::failed(format!("invalid data, expected {wanted}, got {got}"))
}
