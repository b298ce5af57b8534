//! Quantities such as `500Mi`.

use std::cmp::Ordering;

use machinery::Quantity;
use machinery::quantity::Format;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::value::{Foreign, Value};

pub const LIBRARY: &[Declaration] = &[
    ("string_to_quantity quantity(string) -> kubernetes.Quantity", parse),
    ("is_quantity_string isQuantity(string) -> bool", is_quantity),
    ("quantity_sign sign(kubernetes.Quantity) -> int", sign),
    ("quantity_is_greater_than kubernetes.Quantity:isGreaterThan(kubernetes.Quantity) -> bool", is_greater),
    ("quantity_is_less_than kubernetes.Quantity:isLessThan(kubernetes.Quantity) -> bool", is_less),
    ("quantity_compare_to kubernetes.Quantity:compareTo(kubernetes.Quantity) -> int", compare),
    ("quantity_get_float kubernetes.Quantity:asApproximateFloat() -> double", to_double),
    ("quantity_get_int kubernetes.Quantity:asInteger() -> int", to_int),
    ("quantity_is_integer kubernetes.Quantity:isInteger() -> bool", is_integer),
    ("quantity_add kubernetes.Quantity:add(kubernetes.Quantity) -> kubernetes.Quantity", add),
    ("quantity_add_int kubernetes.Quantity:add(int) -> kubernetes.Quantity", add),
    ("quantity_sub kubernetes.Quantity:sub(kubernetes.Quantity) -> kubernetes.Quantity", subtract),
    ("quantity_sub_int kubernetes.Quantity:sub(int) -> kubernetes.Quantity", subtract),
];

#[derive(Debug)]
struct Amount(Quantity);

impl Foreign for Amount {
    fn type_name(&self) -> &'static str {
        "kubernetes.Quantity"
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        (other as &dyn std::any::Any).downcast_ref::<Self>().is_some_and(|other| self.0 == other.0)
    }
}

/// A quantity as expressions have it.
pub fn quantity(quantity: Quantity) -> Value<'static> {
    Value::foreign(Amount(quantity))
}

type Outcome<'a> = Result<Value<'a>, Error>;

fn amount(value: &Value<'_>) -> Result<Quantity, Error> {
    match value {
        Value::Int(value) => Ok(Quantity::from_value(i128::from(*value), Format::DecimalExponent)),
        value => value.downcast::<Amount>().map(|amount| amount.0).ok_or(Error::NoOverload),
    }
}

fn parse<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = values else { return Err(Error::NoOverload) };
    Quantity::parse(text).map(quantity).map_err(|error| Error::failed(error.to_string()))
}

fn is_quantity<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(text)] = values else { return Err(Error::NoOverload) };
    Ok(Value::Bool(Quantity::parse(text).is_ok()))
}

fn sign<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let quantity = amount(&values[0])?;
    Ok(Value::Int(if quantity.is_zero() {
        0
    } else if quantity.is_negative() {
        -1
    } else {
        1
    }))
}

fn order(values: &[Value<'_>]) -> Result<Ordering, Error> {
    Ok(amount(&values[0])?.cmp(&amount(&values[1])?))
}

fn is_greater<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(order(values)?.is_gt()))
}

fn is_less<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(order(values)?.is_lt()))
}

fn compare<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Int(order(values)? as i64))
}

fn to_double<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let quantity = amount(&values[0])?;
    match whole(quantity) {
        Some(value) => Ok(Value::Double(value as f64)),
        None => Ok(Value::Double(quantity.milli_value() as f64 / 1e3)),
    }
}

/// The amount if it is a whole number that an integer holds.
fn whole(quantity: Quantity) -> Option<i64> {
    let value = quantity.value();
    let exact = Quantity::from_value(value, quantity.format()) == quantity;
    i64::try_from(value).ok().filter(|_| exact)
}

fn to_int<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    whole(amount(&values[0])?).map(Value::Int).ok_or_else(|| Error::failed("cannot convert value to integer"))
}

fn is_integer<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(whole(amount(&values[0])?).is_some()))
}

fn add<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(quantity(amount(&values[0])? + amount(&values[1])?))
}

fn subtract<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(quantity(amount(&values[0])? - amount(&values[1])?))
}
