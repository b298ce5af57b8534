//! How values read in messages. Long ones are cut off.

use std::fmt::{self, Write};

use crate::meter::Meter;
use crate::time;
use crate::value::Value;

/// Bytes of a value that a message repeats.
const SHOWN_MAX: usize = 1024;

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Value::String(text) = self {
            return f.write_str(text);
        }
        let mut shown = Shown(String::new());
        // It fails when there is enough.
        if shown.value(self).is_err() {
            shown.0.push_str("...");
        }
        f.write_str(&shown.0)
    }
}

struct Shown(String);

impl Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > SHOWN_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl Shown {
    fn value(&mut self, value: &Value<'_>) -> fmt::Result {
        match value {
            Value::Null => self.write_str("null"),
            Value::Bool(value) => write!(self, "{value}"),
            Value::Int(value) => write!(self, "{value}"),
            Value::Uint(value) => write!(self, "{value}u"),
            Value::Double(value) if value.is_nan() => self.write_str("double(\"NaN\")"),
            Value::Double(value) if value.is_infinite() => {
                write!(self, "double(\"{}Infinity\")", if *value < 0.0 { "-" } else { "" })
            }
            Value::Double(value) => write!(self, "{value}"),
            Value::String(text) => write!(self, "{:?}", &**text),
            Value::Bytes(bytes) => {
                self.write_str("b\"")?;
                bytes.iter().try_for_each(|byte| write!(self, "\\{byte:03o}"))?;
                self.write_str("\"")
            }
            Value::Duration(nanos) => write!(self, "duration(\"{}\")", time::duration_text(*nanos)),
            Value::Timestamp(instant) => write!(self, "timestamp(\"{}\")", time::timestamp_text(*instant)),
            Value::List(list) => {
                self.write_str("[")?;
                for (index, element) in list.iter().enumerate() {
                    self.write_str(if index > 0 { ", " } else { "" })?;
                    self.value(&element.map_err(|_| fmt::Error)?)?;
                }
                self.write_str("]")
            }
            Value::Map(map) => {
                self.write_str("{")?;
                let keys = map.keys(&Meter::new(SHOWN_MAX as u64)).map_err(|_| fmt::Error)?;
                for (index, key) in keys.iter().enumerate() {
                    self.write_str(if index > 0 { ", " } else { "" })?;
                    self.value(key)?;
                    self.write_str(": ")?;
                    if let Ok(Some(value)) = map.find(key) {
                        self.value(&value)?;
                    }
                }
                self.write_str("}")
            }
            Value::Type(of) => self.write_str(of.name()),
            Value::Optional(None) => self.write_str("optional.none()"),
            Value::Optional(Some(inner)) => {
                self.write_str("optional.of(")?;
                self.value(inner)?;
                self.write_str(")")
            }
            Value::Message(message) => {
                write!(self, "{}{{", message.name)?;
                for (index, (name, value)) in message.fields.iter().enumerate() {
                    write!(self, "{}{name}: ", if index > 0 { ", " } else { "" })?;
                    self.value(value)?;
                }
                self.write_str("}")
            }
            Value::Foreign(value) => self.write_str(value.type_name()),
        }
    }
}
