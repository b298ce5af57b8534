//! Arithmetic, comparison and logic.

use std::cmp::Ordering;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::library::never;
use crate::meter::Meter;
use crate::time;
use crate::value::Value;

/// The overloads of an ordering operator: one type, or two numbers of different types.
macro_rules! ordering {
    ($id:literal, $name:literal, $carry_out:ident) => {
        &[
            (concat!($id, "_bool ", $name, "(bool, bool) -> bool"), $carry_out),
            (concat!($id, "_int64 ", $name, "(int, int) -> bool"), $carry_out),
            (concat!($id, "_int64_double ", $name, "(int, double) -> bool"), $carry_out),
            (concat!($id, "_int64_uint64 ", $name, "(int, uint) -> bool"), $carry_out),
            (concat!($id, "_uint64 ", $name, "(uint, uint) -> bool"), $carry_out),
            (concat!($id, "_uint64_double ", $name, "(uint, double) -> bool"), $carry_out),
            (concat!($id, "_uint64_int64 ", $name, "(uint, int) -> bool"), $carry_out),
            (concat!($id, "_double ", $name, "(double, double) -> bool"), $carry_out),
            (concat!($id, "_double_int64 ", $name, "(double, int) -> bool"), $carry_out),
            (concat!($id, "_double_uint64 ", $name, "(double, uint) -> bool"), $carry_out),
            (concat!($id, "_string ", $name, "(string, string) -> bool"), $carry_out),
            (concat!($id, "_bytes ", $name, "(bytes, bytes) -> bool"), $carry_out),
            (concat!($id, "_timestamp ", $name, "(timestamp, timestamp) -> bool"), $carry_out),
            (concat!($id, "_duration ", $name, "(duration, duration) -> bool"), $carry_out),
        ]
    };
}

pub const LESS: &[Declaration] = ordering!("less", "_<_", less);
pub const LESS_EQUALS: &[Declaration] = ordering!("less_equals", "_<=_", less_equals);
pub const GREATER: &[Declaration] = ordering!("greater", "_>_", greater);
pub const GREATER_EQUALS: &[Declaration] = ordering!("greater_equals", "_>=_", greater_equals);

pub const LIBRARY: &[Declaration] = &[
    // These four and equality are nodes of their own in programs; the lines give them their types.
    ("conditional _?_:_(bool, A, A) -> A", never),
    ("logical_and _&&_(bool, bool) -> bool", never),
    ("logical_or _||_(bool, bool) -> bool", never),
    ("not_strictly_false @not_strictly_false(bool) -> bool", never),
    ("equals _==_(A, A) -> bool", never),
    ("not_equals _!=_(A, A) -> bool", never),
    ("logical_not !_(bool) -> bool", not),
    ("negate_double -_(double) -> double", negate),
    ("negate_int64 -_(int) -> int", negate),
    ("add_bytes _+_(bytes, bytes) -> bytes", add),
    ("add_double _+_(double, double) -> double", add),
    ("add_duration_duration _+_(duration, duration) -> duration", add),
    ("add_duration_timestamp _+_(duration, timestamp) -> timestamp", add),
    ("add_timestamp_duration _+_(timestamp, duration) -> timestamp", add),
    ("add_int64 _+_(int, int) -> int", add),
    ("add_list _+_(list(A), list(A)) -> list(A)", add),
    ("add_string _+_(string, string) -> string", add),
    ("add_uint64 _+_(uint, uint) -> uint", add),
    ("subtract_double _-_(double, double) -> double", subtract),
    ("subtract_duration_duration _-_(duration, duration) -> duration", subtract),
    ("subtract_int64 _-_(int, int) -> int", subtract),
    ("subtract_timestamp_duration _-_(timestamp, duration) -> timestamp", subtract),
    ("subtract_timestamp_timestamp _-_(timestamp, timestamp) -> duration", subtract),
    ("subtract_uint64 _-_(uint, uint) -> uint", subtract),
    ("multiply_double _*_(double, double) -> double", multiply),
    ("multiply_int64 _*_(int, int) -> int", multiply),
    ("multiply_uint64 _*_(uint, uint) -> uint", multiply),
    ("divide_double _/_(double, double) -> double", divide),
    ("divide_int64 _/_(int, int) -> int", divide),
    ("divide_uint64 _/_(uint, uint) -> uint", divide),
    ("modulo_int64 _%_(int, int) -> int", modulo),
    ("modulo_uint64 _%_(uint, uint) -> uint", modulo),
];

type Outcome<'a> = Result<Value<'a>, Error>;

fn not<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => Err(Error::NoOverload),
    }
}

fn negate<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(value)] => value.checked_neg().map(Value::Int).ok_or_else(overflow),
        [Value::Double(value)] => Ok(Value::Double(-value)),
        [Value::Duration(value)] => value.checked_neg().map(Value::Duration).ok_or_else(duration_overflow),
        _ => Err(Error::NoOverload),
    }
}

fn add<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(left), Value::Int(right)] => left.checked_add(*right).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(left), Value::Uint(right)] => {
            left.checked_add(*right).map(Value::Uint).ok_or_else(unsigned_overflow)
        }
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left + right)),
        [Value::String(left), Value::String(right)] => {
            meter.step((left.len() + right.len()) / 16)?;
            Ok(Value::from(format!("{}{}", &**left, &**right)))
        }
        [Value::Bytes(left), Value::Bytes(right)] => {
            meter.step((left.len() + right.len()) / 16)?;
            Ok(Value::Bytes(left.iter().chain(right.iter()).copied().collect()))
        }
        [Value::List(left), Value::List(right)] => Ok(Value::List(left.join(right, meter)?)),
        [Value::Duration(left), Value::Duration(right)] => {
            left.checked_add(*right).map(Value::Duration).ok_or_else(duration_overflow)
        }
        [Value::Timestamp(at), Value::Duration(span)] | [Value::Duration(span), Value::Timestamp(at)] => {
            time::add(*at, i128::from(*span)).map(Value::Timestamp)
        }
        _ => Err(Error::NoOverload),
    }
}

fn subtract<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(left), Value::Int(right)] => left.checked_sub(*right).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(left), Value::Uint(right)] => {
            left.checked_sub(*right).map(Value::Uint).ok_or_else(unsigned_overflow)
        }
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left - right)),
        [Value::Duration(left), Value::Duration(right)] => {
            left.checked_sub(*right).map(Value::Duration).ok_or_else(duration_overflow)
        }
        [Value::Timestamp(at), Value::Duration(span)] => time::add(*at, -i128::from(*span)).map(Value::Timestamp),
        [Value::Timestamp(left), Value::Timestamp(right)] => {
            i64::try_from(left - right).map(Value::Duration).map_err(|_| duration_overflow())
        }
        _ => Err(Error::NoOverload),
    }
}

fn multiply<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(left), Value::Int(right)] => left.checked_mul(*right).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(left), Value::Uint(right)] => {
            left.checked_mul(*right).map(Value::Uint).ok_or_else(unsigned_overflow)
        }
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left * right)),
        _ => Err(Error::NoOverload),
    }
}

fn divide<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Error::failed("division by zero")),
        [Value::Int(left), Value::Int(right)] => left.checked_div(*right).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(left), Value::Uint(right)] => Ok(Value::Uint(left / right)),
        [Value::Double(left), Value::Double(right)] => Ok(Value::Double(left / right)),
        _ => Err(Error::NoOverload),
    }
}

fn modulo<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err(Error::failed("modulus by zero")),
        [Value::Int(left), Value::Int(right)] => left.checked_rem(*right).map(Value::Int).ok_or_else(overflow),
        [Value::Uint(left), Value::Uint(right)] => Ok(Value::Uint(left % right)),
        _ => Err(Error::NoOverload),
    }
}

fn compared<'a>(values: &[Value<'a>], holds: impl Fn(Ordering) -> bool) -> Outcome<'a> {
    match values {
        [left, right] => left.compare(right).map(|order| Value::Bool(holds(order))),
        _ => Err(Error::NoOverload),
    }
}

fn less<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    compared(values, Ordering::is_lt)
}

fn less_equals<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    compared(values, Ordering::is_le)
}

fn greater<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    compared(values, Ordering::is_gt)
}

fn greater_equals<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    compared(values, Ordering::is_ge)
}

fn overflow() -> Error {
    Error::failed("integer overflow")
}

fn unsigned_overflow() -> Error {
    Error::failed("unsigned integer overflow")
}

fn duration_overflow() -> Error {
    Error::failed("duration overflow")
}
