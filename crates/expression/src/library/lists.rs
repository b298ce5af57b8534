//! Functions on lists.

use std::cmp::Ordering;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::list::List;
use crate::meter::Meter;
use crate::value::Value;

/// One line for each type whose values have an order.
macro_rules! ordered {
    ($before:literal, $between:literal, $after:literal, $carry_out:ident) => {
        &[
            (concat!($before, "int", $between, "int", $after), $carry_out),
            (concat!($before, "uint", $between, "uint", $after), $carry_out),
            (concat!($before, "double", $between, "double", $after), $carry_out),
            (concat!($before, "bool", $between, "bool", $after), $carry_out),
            (concat!($before, "duration", $between, "duration", $after), $carry_out),
            (concat!($before, "timestamp", $between, "timestamp", $after), $carry_out),
            (concat!($before, "string", $between, "string", $after), $carry_out),
            (concat!($before, "bytes", $between, "bytes", $after), $carry_out),
        ]
    };
}

macro_rules! extreme {
    ($name:literal, $carry_out:ident) => {
        &[
            (concat!("list_int_", $name, "_int list(int):", $name, "() -> int"), $carry_out),
            (concat!("list_uint_", $name, "_uint list(uint):", $name, "() -> uint"), $carry_out),
            (concat!("list_double_", $name, "_double list(double):", $name, "() -> double"), $carry_out),
            (concat!("list_bool_", $name, "_bool list(bool):", $name, "() -> bool"), $carry_out),
            (concat!("list_duration_", $name, "_duration list(duration):", $name, "() -> duration"), $carry_out),
            (concat!("list_timestamp_", $name, "_timestamp list(timestamp):", $name, "() -> timestamp"), $carry_out),
            (concat!("list_string_", $name, "_string list(string):", $name, "() -> string"), $carry_out),
            (concat!("list_bytes_", $name, "_bytes list(bytes):", $name, "() -> bytes"), $carry_out),
        ]
    };
}

pub const IS_SORTED: &[Declaration] = ordered!("list_", "_is_sorted_bool list(", "):isSorted() -> bool", is_sorted);
pub const SORT_BY: &[Declaration] =
    ordered!("list_", "_sortByAssociatedKeys list(A):@sortByAssociatedKeys(list(", ")) -> list(A)", sort_by);
pub const MAX: &[Declaration] = extreme!("max", max);
pub const MIN: &[Declaration] = extreme!("min", min);

pub const LIBRARY: &[Declaration] = &[
    ("list_int_sum_int list(int):sum() -> int", sum_int),
    ("list_uint_sum_uint list(uint):sum() -> uint", sum_uint),
    ("list_double_sum_double list(double):sum() -> double", sum_double),
    ("list_duration_sum_duration list(duration):sum() -> duration", sum_duration),
    ("list_a_index_of_int list(A):indexOf(A) -> int", index_of),
    ("list_a_last_index_of_int list(A):lastIndexOf(A) -> int", last_index_of),
    ("list_int_sort list(int):sort() -> list(int)", sort),
    ("list_uint_sort list(uint):sort() -> list(uint)", sort),
    ("list_double_sort list(double):sort() -> list(double)", sort),
    ("list_bool_sort list(bool):sort() -> list(bool)", sort),
    ("list_duration_sort list(duration):sort() -> list(duration)", sort),
    ("list_timestamp_sort list(timestamp):sort() -> list(timestamp)", sort),
    ("list_string_sort list(string):sort() -> list(string)", sort),
    ("list_bytes_sort list(bytes):sort() -> list(bytes)", sort),
    ("list_slice list(A):slice(int, int) -> list(A)", slice),
    ("list_flatten list(list(A)):flatten() -> list(A)", flatten),
    ("list_flatten_int list(dyn):flatten(int) -> list(dyn)", flatten),
    ("lists_range lists.range(int) -> list(int)", range),
    ("list_reverse list(A):reverse() -> list(A)", reverse),
    ("list_distinct list(A):distinct() -> list(A)", distinct),
];

type Outcome<'a> = Result<Value<'a>, Error>;

fn list<'v, 'a>(values: &'v [Value<'a>]) -> Result<&'v List<'a>, Error> {
    match values {
        [Value::List(list), ..] => Ok(list),
        _ => Err(Error::NoOverload),
    }
}

fn is_sorted<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let values = list(values)?.values(meter)?;
    for pair in values.windows(2) {
        if pair[0].compare(&pair[1])?.is_gt() {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn max<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    extreme(meter, values, "max", Ordering::Less)
}

fn min<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    extreme(meter, values, "min", Ordering::Greater)
}

/// Goes on to a later value where the one so far compares `worse` to it.
fn extreme<'a>(meter: &Meter, values: &[Value<'a>], name: &str, worse: Ordering) -> Outcome<'a> {
    let mut values = list(values)?.values(meter)?.into_iter();
    let Some(mut found) = values.next() else {
        return Err(Error::failed(format!("{name} called on empty list")));
    };
    for value in values {
        if found.compare(&value)? == worse {
            found = value;
        }
    }
    Ok(found)
}

fn sum_int<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let mut total = 0_i64;
    for value in list(values)?.values(meter)? {
        let Value::Int(value) = value else { return Err(Error::NoOverload) };
        total = total.checked_add(value).ok_or_else(|| Error::failed("integer overflow"))?;
    }
    Ok(Value::Int(total))
}

fn sum_uint<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let mut total = 0_u64;
    for value in list(values)?.values(meter)? {
        let Value::Uint(value) = value else { return Err(Error::NoOverload) };
        total = total.checked_add(value).ok_or_else(|| Error::failed("unsigned integer overflow"))?;
    }
    Ok(Value::Uint(total))
}

fn sum_double<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let mut total = 0.0;
    for value in list(values)?.values(meter)? {
        let Value::Double(value) = value else { return Err(Error::NoOverload) };
        total += value;
    }
    Ok(Value::Double(total))
}

fn sum_duration<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let mut total = 0_i64;
    for value in list(values)?.values(meter)? {
        let Value::Duration(value) = value else { return Err(Error::NoOverload) };
        total = total.checked_add(value).ok_or_else(|| Error::failed("duration overflow"))?;
    }
    Ok(Value::Duration(total))
}

fn index_of<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    for (index, value) in list(values)?.iter().enumerate() {
        if value?.equals(&values[1], meter)? {
            return Ok(Value::Int(index as i64));
        }
    }
    Ok(Value::Int(-1))
}

fn last_index_of<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let list = list(values)?;
    for index in (0..list.len()).rev() {
        if list.get(index)?.equals(&values[1], meter)? {
            return Ok(Value::Int(index as i64));
        }
    }
    Ok(Value::Int(-1))
}

fn sort<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let list = list(values)?;
    sorted(list.values(meter)?, &list.values(meter)?)
}

fn sort_by<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), Value::List(keys)] = values else { return Err(Error::NoOverload) };
    if list.len() != keys.len() {
        let expected = "@sortByAssociatedKeys() expected a list of the same size as the associated keys list";
        let message = format!("{expected}, but got {} and {} elements respectively", list.len(), keys.len());
        return Err(Error::failed(message));
    }
    sorted(list.values(meter)?, &keys.values(meter)?)
}

/// `values` in the order of their `keys`.
fn sorted<'a>(values: Vec<Value<'a>>, keys: &[Value<'a>]) -> Outcome<'a> {
    if let Some(first) = keys.first() {
        first.compare(first).map_err(|_| Error::failed("list elements must be comparable"))?;
        if keys.iter().any(|key| std::mem::discriminant(key) != std::mem::discriminant(first)) {
            return Err(Error::failed("list elements must have the same type"));
        }
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|left, right| keys[*left].compare(&keys[*right]).unwrap_or(Ordering::Equal));
    Ok(Value::list(order.into_iter().map(|index| values[index].clone()).collect()))
}

fn slice<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = values else { return Err(Error::NoOverload) };
    let fault = |reason: String| Error::failed(format!("cannot slice({start}, {end}), {reason}"));
    let (Ok(from), Ok(to)) = (usize::try_from(*start), usize::try_from(*end)) else {
        return Err(fault("negative indexes not supported".to_owned()));
    };
    if from > to {
        return Err(fault("start index must be less than or equal to end index".to_owned()));
    }
    if to > list.len() {
        return Err(fault(format!("list is length {}", list.len())));
    }
    meter.step(to - from)?;
    Ok(Value::list((from..to).map(|index| list.get(index)).collect::<Result<_, _>>()?))
}

fn flatten<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let depth = match values {
        [_] => 1,
        [_, Value::Int(depth)] => *depth,
        _ => return Err(Error::NoOverload),
    };
    if depth < 0 {
        return Err(Error::failed("level must be non-negative"));
    }
    let mut flat = Vec::new();
    flatten_into(&mut flat, list(values)?, depth, meter)?;
    Ok(Value::list(flat))
}

fn flatten_into<'a>(flat: &mut Vec<Value<'a>>, list: &List<'a>, depth: i64, meter: &Meter) -> Result<(), Error> {
    for value in list.iter() {
        meter.step(1)?;
        match value? {
            Value::List(inner) if depth > 0 => flatten_into(flat, &inner, depth - 1, meter)?,
            value => flat.push(value),
        }
    }
    Ok(())
}

fn range<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Int(count)] = values else { return Err(Error::NoOverload) };
    meter.step(usize::try_from(*count).unwrap_or(0))?;
    Ok(Value::list((0..*count).map(Value::Int).collect()))
}

fn reverse<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let mut values = list(values)?.values(meter)?;
    values.reverse();
    Ok(Value::list(values))
}

fn distinct<'a>(meter: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let mut kept = List::from(Vec::new());
    for value in list(values)?.values(meter)? {
        if !kept.contains(&value, meter)? {
            kept.push(value)?;
        }
    }
    Ok(Value::List(kept))
}
