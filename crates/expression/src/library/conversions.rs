//! From one type to another.

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::time;
use crate::value::Value;

pub const LIBRARY: &[Declaration] = &[
    ("type type(A) -> type(A)", to_type),
    ("to_dyn dyn(A) -> dyn", identity),
    ("bool_to_bool bool(bool) -> bool", to_bool),
    ("string_to_bool bool(string) -> bool", to_bool),
    ("bytes_to_bytes bytes(bytes) -> bytes", to_bytes),
    ("string_to_bytes bytes(string) -> bytes", to_bytes),
    ("double_to_double double(double) -> double", to_double),
    ("int64_to_double double(int) -> double", to_double),
    ("string_to_double double(string) -> double", to_double),
    ("uint64_to_double double(uint) -> double", to_double),
    ("duration_to_duration duration(duration) -> duration", to_duration),
    ("int64_to_duration duration(int) -> duration", to_duration),
    ("string_to_duration duration(string) -> duration", to_duration),
    ("int64_to_int64 int(int) -> int", to_int),
    ("double_to_int64 int(double) -> int", to_int),
    ("duration_to_int64 int(duration) -> int", to_int),
    ("string_to_int64 int(string) -> int", to_int),
    ("timestamp_to_int64 int(timestamp) -> int", to_int),
    ("uint64_to_int64 int(uint) -> int", to_int),
    ("string_to_string string(string) -> string", to_string),
    ("bool_to_string string(bool) -> string", to_string),
    ("bytes_to_string string(bytes) -> string", to_string),
    ("double_to_string string(double) -> string", to_string),
    ("duration_to_string string(duration) -> string", to_string),
    ("int64_to_string string(int) -> string", to_string),
    ("timestamp_to_string string(timestamp) -> string", to_string),
    ("uint64_to_string string(uint) -> string", to_string),
    ("timestamp_to_timestamp timestamp(timestamp) -> timestamp", to_timestamp),
    ("int64_to_timestamp timestamp(int) -> timestamp", to_timestamp),
    ("string_to_timestamp timestamp(string) -> timestamp", to_timestamp),
    ("uint64_to_uint64 uint(uint) -> uint", to_uint),
    ("double_to_uint64 uint(double) -> uint", to_uint),
    ("int64_to_uint64 uint(int) -> uint", to_uint),
    ("string_to_uint64 uint(string) -> uint", to_uint),
];

type Outcome<'a> = Result<Value<'a>, Error>;

fn identity<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(values[0].clone())
}

fn to_type<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Type(values[0].to_type()))
}

fn to_bool<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Bool(value)] => Ok(Value::Bool(*value)),
        [value @ Value::String(text)] => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(inconvertible(value, "bool")),
        },
        _ => Err(Error::NoOverload),
    }
}

fn to_bytes<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Bytes(bytes)] => Ok(Value::Bytes(bytes.clone())),
        [Value::String(text)] => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(Error::NoOverload),
    }
}

fn to_double<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Double(value)] => Ok(Value::Double(*value)),
        [Value::Int(value)] => Ok(Value::Double(*value as f64)),
        [Value::Uint(value)] => Ok(Value::Double(*value as f64)),
        [value @ Value::String(text)] => {
            parse_double(text).map(Value::Double).ok_or_else(|| inconvertible(value, "double"))
        }
        _ => Err(Error::NoOverload),
    }
}

/// As Go does: no number may be too large.
fn parse_double(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let named = text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_alphabetic());
    (named || value.is_finite()).then_some(value)
}

fn to_duration<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Duration(nanos)] | [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        [value @ Value::String(text)] => time::parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| inconvertible(value, "google.protobuf.Duration")),
        _ => Err(Error::NoOverload),
    }
}

fn to_int<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let overflow = || Error::failed("integer overflow");
    match values {
        [Value::Int(value)] | [Value::Duration(value)] => Ok(Value::Int(*value)),
        [Value::Uint(value)] => i64::try_from(*value).map(Value::Int).map_err(|_| overflow()),
        [Value::Double(value)] => {
            let fits = *value > i64::MIN as f64 && *value < i64::MAX as f64;
            if fits { Ok(Value::Int(*value as i64)) } else { Err(overflow()) }
        }
        [Value::Timestamp(at)] => Ok(Value::Int(time::seconds(*at))),
        [value @ Value::String(text)] => text.parse().map(Value::Int).map_err(|_| inconvertible(value, "int")),
        _ => Err(Error::NoOverload),
    }
}

fn to_uint<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let overflow = || Error::failed("unsigned integer overflow");
    match values {
        [Value::Uint(value)] => Ok(Value::Uint(*value)),
        [Value::Int(value)] => u64::try_from(*value).map(Value::Uint).map_err(|_| overflow()),
        [Value::Double(value)] => {
            let fits = *value >= 0.0 && *value < u64::MAX as f64;
            if fits { Ok(Value::Uint(*value as u64)) } else { Err(overflow()) }
        }
        [value @ Value::String(text)] => {
            let digits = !text.starts_with('+');
            text.parse().ok().filter(|_| digits).map(Value::Uint).ok_or_else(|| inconvertible(value, "uint"))
        }
        _ => Err(Error::NoOverload),
    }
}

fn to_string<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    text_of(&values[0])?.ok_or(Error::NoOverload)
}

/// What `string` makes of a value; none if nothing.
pub fn text_of<'a>(value: &Value<'a>) -> Result<Option<Value<'a>>, Error> {
    let text = match value {
        Value::String(text) => return Ok(Some(Value::String(text.clone()))),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double_text(*value),
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec())
            .map_err(|_| Error::failed("invalid UTF-8 in bytes, cannot convert to string"))?,
        Value::Duration(nanos) => time::duration_text(*nanos),
        Value::Timestamp(at) => time::timestamp_text(*at),
        Value::Type(of) => of.name().to_owned(),
        _ => return Ok(None),
    };
    Ok(Some(Value::from(text)))
}

/// As Go's `%g` prints it: with an exponent from 1e+21 on, and below 1e-4.
fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if value == 0.0 || (1e-4..1e21).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("the form has an exponent");
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn to_timestamp<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Timestamp(at)] => Ok(Value::Timestamp(*at)),
        [Value::Int(seconds)] => time::of_seconds(*seconds).map(Value::Timestamp),
        [value @ Value::String(text)] => time::parse_timestamp(text)
            .map(Value::Timestamp)
            .ok_or_else(|| inconvertible(value, "google.protobuf.Timestamp")),
        _ => Err(Error::NoOverload),
    }
}

fn inconvertible(value: &Value<'_>, to: &str) -> Error {
    Error::failed(format!("type conversion error from '{}' to '{to}'", value.to_type().name()))
}
