//! What expressions work on. Values borrow from the JSON that they were read from.

use std::any::Any;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use crate::error::Error;
use crate::list::List;
use crate::map::Map;
use crate::meter::Meter;
use crate::read::{read, read_any};
use crate::shape::Shape;
use crate::time::Instant;
use crate::types::Type;

#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    Timestamp(Instant),
    List(List<'a>),
    Map(Map<'a>),
    Type(Type),
    Optional(Option<Arc<Value<'a>>>),
    Message(Arc<Message<'a>>),
    Foreign(Arc<dyn Foreign>),
}

/// A value of a type that a library brings.
pub trait Foreign: Any + fmt::Debug + Send + Sync {
    fn type_name(&self) -> &'static str;

    fn equals(&self, other: &dyn Foreign) -> bool;

    /// Its size, where costs depend on it.
    fn size(&self) -> u64 {
        1
    }
}

/// What `Type{field: value}` makes.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub name: Arc<str>,
    pub fields: BTreeMap<Arc<str>, Value<'a>>,
}

#[derive(Clone, Debug)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(Text::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::String(Text::Shared(text.into()))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl<'a> Value<'a> {
    /// `json`, read along `shape`.
    pub fn new(json: &'a Json, shape: &'a Shape) -> Result<Self, Error> {
        read(json, shape)
    }

    /// `json` as it is.
    pub fn any(json: &'a Json) -> Self {
        read_any(json)
    }

    /// An object of JSON as it is.
    pub fn object(fields: &'a JsonMap<String, Json>) -> Self {
        Self::Map(Map::Json(fields, None))
    }

    pub fn optional(value: Option<Self>) -> Self {
        Self::Optional(value.map(Arc::new))
    }

    pub fn foreign(value: impl Foreign) -> Self {
        Self::Foreign(Arc::new(value))
    }

    pub fn list(values: Vec<Self>) -> Self {
        Self::List(List::from(values))
    }

    /// A map by text.
    pub fn map(entries: impl IntoIterator<Item = (String, Self)>) -> Self {
        Self::Map(entries.into_iter().collect())
    }

    /// The library's own value, if it is one of type `T`.
    pub fn downcast<T: Foreign>(&self) -> Option<&T> {
        match self {
            Self::Foreign(value) => (&**value as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn to_type(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Duration(_) => Type::Duration,
            Self::Timestamp(_) => Type::Timestamp,
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Type(_) => Type::of(Type::Dyn),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Message(message) => Type::Object(message.name.clone()),
            Self::Foreign(value) => Type::object(value.type_name()),
        }
    }

    /// What `size` says; one for what has no size.
    pub fn size(&self) -> u64 {
        match self {
            Self::String(text) => text.chars().count() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Optional(Some(inner)) => inner.size(),
            Self::Foreign(value) => value.size(),
            _ => 1,
        }
    }

    /// Whether `optional.ofNonZeroValue` makes nothing of it.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) | Self::Int(0) | Self::Uint(0) | Self::Duration(0) => true,
            Self::Double(value) => *value == 0.0,
            Self::String(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Optional(inner) => inner.is_none(),
            _ => false,
        }
    }

    /// Values of different types are unequal, except for numbers.
    pub fn equals(&self, other: &Self, meter: &Meter) -> Result<bool, Error> {
        meter.step(1)?;
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Int(left), Self::Int(right)) => left == right,
            (Self::Int(_) | Self::Uint(_) | Self::Double(_), Self::Int(_) | Self::Uint(_) | Self::Double(_)) => {
                compare_numbers(self, other) == Some(Ordering::Equal)
            }
            (Self::String(left), Self::String(right)) => {
                meter.step(left.len().min(right.len()) / 16)?;
                **left == **right
            }
            (Self::Bytes(left), Self::Bytes(right)) => left == right,
            (Self::Duration(left), Self::Duration(right)) => left == right,
            (Self::Timestamp(left), Self::Timestamp(right)) => left == right,
            (Self::List(left), Self::List(right)) => left.equals(right, meter)?,
            (Self::Map(left), Self::Map(right)) => left.equals(right, meter)?,
            (Self::Type(left), Self::Type(right)) => left.name() == right.name(),
            (Self::Optional(None), Self::Optional(None)) => true,
            (Self::Optional(Some(left)), Self::Optional(Some(right))) => left.equals(right, meter)?,
            (Self::Message(left), Self::Message(right)) => left.equals(right, meter)?,
            (Self::Foreign(left), Self::Foreign(right)) => left.equals(&**right),
            _ => false,
        })
    }

    /// The order of two values of one type, or of two numbers.
    pub fn compare(&self, other: &Self) -> Result<Ordering, Error> {
        Ok(match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Int(left), Self::Int(right)) => left.cmp(right),
            (Self::Int(_) | Self::Uint(_) | Self::Double(_), Self::Int(_) | Self::Uint(_) | Self::Double(_)) => {
                compare_numbers(self, other).ok_or_else(|| Error::failed("NaN values cannot be ordered"))?
            }
            (Self::String(left), Self::String(right)) => (**left).cmp(&**right),
            (Self::Bytes(left), Self::Bytes(right)) => left.cmp(right),
            (Self::Duration(left), Self::Duration(right)) => left.cmp(right),
            (Self::Timestamp(left), Self::Timestamp(right)) => left.cmp(right),
            _ => return Err(Error::NoOverload),
        })
    }
}

impl Message<'_> {
    fn equals(&self, other: &Self, meter: &Meter) -> Result<bool, Error> {
        if self.name != other.name || self.fields.len() != other.fields.len() {
            return Ok(false);
        }
        for (name, value) in &self.fields {
            let Some(of_other) = other.fields.get(name) else { return Ok(false) };
            if !value.equals(of_other, meter)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// None if one of them is no number, or NaN.
fn compare_numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Double(left), right) => compare_double(*left, whole(right)?),
        (left, Value::Double(right)) => compare_double(*right, whole(left)?).map(Ordering::reverse),
        (left, right) => Some(whole(left)?.cmp(&whole(right)?)),
    }
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

fn compare_double(left: f64, right: i128) -> Option<Ordering> {
    left.partial_cmp(&(right as f64))
}
