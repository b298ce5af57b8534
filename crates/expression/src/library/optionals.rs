//! Values that may be absent.

use crate::declarations::Declaration;
use crate::error::Error;
use crate::library::never;
use crate::meter::Meter;
use crate::value::Value;

pub const LIBRARY: &[Declaration] = &[
    ("optional_of optional.of(A) -> optional(A)", of),
    ("optional_ofNonZeroValue optional.ofNonZeroValue(A) -> optional(A)", of_non_zero_value),
    ("optional_none optional.none() -> optional(A)", none),
    ("optional_value optional(A):value() -> A", value),
    ("optional_hasValue optional(A):hasValue() -> bool", has_value),
    ("optional_or_optional optional(A):or(optional(A)) -> optional(A)", or),
    ("optional_orValue_value optional(A):orValue(A) -> A", or_value),
    ("list_last list(A):last() -> optional(A)", last),
    ("list_first list(A):first() -> optional(A)", first),
    ("optional_unwrap optional.unwrap(list(optional(A))) -> list(A)", unwrap),
    ("optional_unwrapOpt list(optional(A)):unwrapOpt() -> list(A)", unwrap),
    // Selections are nodes of their own in programs; the lines give them their types.
    ("select_optional_field _?._(dyn, string) -> optional(B)", never),
    ("list_optindex_optional_int _[?_](list(A), int) -> optional(A)", never),
    ("optional_list_optindex_optional_int _[?_](optional(list(A)), int) -> optional(A)", never),
    ("map_optindex_optional_value _[?_](map(A, B), A) -> optional(B)", never),
    ("optional_map_optindex_optional_value _[?_](optional(map(A, B)), A) -> optional(B)", never),
    ("optional_list_index_int _[_](optional(list(A)), int) -> optional(A)", never),
    ("optional_map_index_value _[_](optional(map(A, B)), A) -> optional(B)", never),
];

type Outcome<'a> = Result<Value<'a>, Error>;

fn of<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::optional(Some(values[0].clone())))
}

fn of_non_zero_value<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::optional(Some(values[0].clone()).filter(|value| !value.is_zero())))
}

fn none<'a>(_: &Meter, _: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Optional(None))
}

fn value<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Optional(Some(inner))] => Ok(Value::clone(inner)),
        [Value::Optional(None)] => Err(Error::failed("optional.none() dereference")),
        _ => Err(Error::NoOverload),
    }
}

fn has_value<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Optional(inner)] => Ok(Value::Bool(inner.is_some())),
        _ => Err(Error::NoOverload),
    }
}

fn or<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
        [present @ Value::Optional(Some(_)), Value::Optional(_)] => Ok(present.clone()),
        _ => Err(Error::NoOverload),
    }
}

fn or_value<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [Value::Optional(Some(inner)), _] => Ok(Value::clone(inner)),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => Err(Error::NoOverload),
    }
}

fn first<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = values else { return Err(Error::NoOverload) };
    let found = if list.is_empty() { None } else { Some(list.get(0)?) };
    Ok(Value::optional(found))
}

fn last<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = values else { return Err(Error::NoOverload) };
    let found = list.len().checked_sub(1).map(|last| list.get(last)).transpose()?;
    Ok(Value::optional(found))
}

fn unwrap<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = values else { return Err(Error::NoOverload) };
    let mut present = Vec::new();
    for value in list.values(meter)? {
        match value {
            Value::Optional(inner) => present.extend(inner.map(|inner| Value::clone(&inner))),
            other => return Err(Error::failed(format!("value {other} is not optional"))),
        }
    }
    Ok(Value::list(present))
}
