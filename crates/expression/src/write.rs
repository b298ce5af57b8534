//! Makes JSON of values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Number, Value as Json};

use crate::error::Error;
use crate::library::text_of;
use crate::meter::Meter;
use crate::value::Value;

impl Value<'_> {
    /// The value as JSON has it: bytes in base64, times and durations as texts, optionals as what is in them.
    /// Fails for types, for what libraries bring, and for values of more than a million parts.
    pub fn to_json(&self) -> Result<Json, Error> {
        write(self, &Meter::new(0))
    }
}

fn write(value: &Value<'_>, meter: &Meter) -> Result<Json, Error> {
    meter.step(1)?;
    Ok(match value {
        Value::Null | Value::Optional(None) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Uint(value) => Json::from(*value),
        Value::Double(value) => Number::from_f64(*value).map(Json::Number).ok_or_else(|| unsupported(value))?,
        Value::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
        Value::String(_) | Value::Duration(_) | Value::Timestamp(_) => match text_of(value)? {
            Some(Value::String(text)) => Json::String(text.to_string()),
            _ => return Err(unsupported(value)),
        },
        Value::List(list) => {
            let elements = list.iter().map(|element| write(&element?, meter));
            Json::Array(elements.collect::<Result<_, _>>()?)
        }
        Value::Map(map) => {
            let mut object = JsonMap::new();
            for key in map.keys(meter)? {
                let value = map.find(&key)?.unwrap_or(Value::Null);
                object.insert(key.to_string(), write(&value, meter)?);
            }
            Json::Object(object)
        }
        Value::Optional(Some(inner)) => write(inner, meter)?,
        Value::Message(message) => {
            let field =
                |(name, value): (&std::sync::Arc<str>, &Value<'_>)| Ok((name.to_string(), write(value, meter)?));
            Json::Object(message.fields.iter().map(field).collect::<Result<_, Error>>()?)
        }
        Value::Type(_) | Value::Foreign(_) => return Err(unsupported(value)),
    })
}

fn unsupported(value: &impl std::fmt::Display) -> Error {
    Error::failed(format!("cannot convert {value} to JSON"))
}
