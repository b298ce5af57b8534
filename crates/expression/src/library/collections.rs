//! Sizes, membership, and sets made of lists.

use crate::declarations::Declaration;
use crate::error::Error;
use crate::library::never;
use crate::list::List;
use crate::meter::Meter;
use crate::value::Value;

pub const LIBRARY: &[Declaration] = &[
    ("size_bytes size(bytes) -> int", size),
    ("size_list size(list(A)) -> int", size),
    ("size_map size(map(A, B)) -> int", size),
    ("size_string size(string) -> int", size),
    ("bytes_size bytes:size() -> int", size),
    ("list_size list(A):size() -> int", size),
    ("map_size map(A, B):size() -> int", size),
    ("string_size string:size() -> int", size),
    ("in_list @in(A, list(A)) -> bool", contains),
    ("in_map @in(A, map(A, B)) -> bool", contains),
    // These are selections in programs; the lines give them their types.
    ("index_list _[_](list(A), int) -> A", never),
    ("index_map _[_](map(A, B), A) -> B", never),
    ("cel_@mapInsert_map_key_value cel.@mapInsert(map(K, V), K, V) -> map(K, V)", never),
    ("cel_@mapInsert_map_map cel.@mapInsert(map(K, V), map(K, V)) -> map(K, V)", never),
    ("list_sets_contains_list sets.contains(list(A), list(A)) -> bool", set_contains),
    ("list_sets_equivalent_list sets.equivalent(list(A), list(A)) -> bool", set_equivalent),
    ("list_sets_intersects_list sets.intersects(list(A), list(A)) -> bool", set_intersects),
];

type Outcome<'a> = Result<Value<'a>, Error>;

fn size<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(value.size() as i64))
        }
        _ => Err(Error::NoOverload),
    }
}

fn contains<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    match values {
        [item, Value::List(list)] => list.contains(item, meter).map(Value::Bool),
        [key, Value::Map(map)] => map.find(key).map(|found| Value::Bool(found.is_some())),
        _ => Err(Error::NoOverload),
    }
}

fn lists<'v, 'a>(values: &'v [Value<'a>]) -> Result<(&'v List<'a>, &'v List<'a>), Error> {
    match values {
        [Value::List(left), Value::List(right)] => Ok((left, right)),
        _ => Err(Error::NoOverload),
    }
}

fn set_contains<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (list, sublist) = lists(values)?;
    list.holds_all(sublist, meter).map(Value::Bool)
}

fn set_equivalent<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (left, right) = lists(values)?;
    Ok(Value::Bool(left.holds_all(right, meter)? && right.holds_all(left, meter)?))
}

fn set_intersects<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let (left, right) = lists(values)?;
    for value in left.iter() {
        if right.contains(&value?, meter)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
