//! Maps: objects of JSON, or of values by key.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value as Json};

use crate::error::Error;
use crate::meter::Meter;
use crate::read::{read, read_any};
use crate::shape::{Form, Shape};
use crate::value::{Text, Value};

#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// An object with fields or a map, as the shape says, or just as it is.
    Json(&'a JsonMap<String, Json>, Option<&'a Shape>),
    Values(Arc<Entries<'a>>),
}

/// Keys as they were written, and what they lead to.
pub type Entries<'a> = BTreeMap<Key<'a>, (Value<'a>, Value<'a>)>;

/// What makes keys the same: whole numbers are the same whatever their type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    Bool(bool),
    Number(i128),
    Text(KeyText<'a>),
}

/// Text that is compared by what it says.
#[derive(Clone, Debug)]
pub struct KeyText<'a>(Text<'a>);

impl PartialEq for KeyText<'_> {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl Eq for KeyText<'_> {}

impl PartialOrd for KeyText<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyText<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self.0).cmp(&*other.0)
    }
}

impl<'a> Key<'a> {
    /// None for what can be no key.
    pub fn of(value: &Value<'a>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Number(i128::from(*value))),
            Value::Uint(value) => Some(Self::Number(i128::from(*value))),
            Value::Double(value) if value.fract() == 0.0 => Some(Self::Number(*value as i128)),
            Value::String(text) => Some(Self::Text(KeyText(text.clone()))),
            _ => None,
        }
    }
}

impl<'a> FromIterator<(String, Value<'a>)> for Map<'a> {
    fn from_iter<T: IntoIterator<Item = (String, Value<'a>)>>(entries: T) -> Self {
        let entry = |(key, value): (String, Value<'a>)| {
            let key = Text::Shared(key.into());
            (Key::Text(KeyText(key.clone())), (Value::String(key), value))
        };
        Self::Values(Arc::new(entries.into_iter().map(entry).collect()))
    }
}

impl<'a> Map<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Json(map, _) => map.len(),
            Self::Values(entries) => entries.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the field, or the key of this text, leads to.
    pub fn field(&self, name: &str) -> Result<Option<Value<'a>>, Error> {
        match self {
            Self::Json(map, None) => Ok(map.get(name).map(read_any)),
            Self::Json(map, Some(shape)) => match &shape.form {
                Form::Map(values) => map.get(name).map(|json| read(json, values)).transpose(),
                Form::Object(object) => {
                    let Some(field) = object.field(name) else { return Ok(None) };
                    let json = map.get(&field.name).filter(|json| !json.is_null());
                    json.map(|json| read(json, &field.shape)).transpose()
                }
                _ => Ok(map.get(name).map(read_any)),
            },
            Self::Values(entries) => {
                let key = Key::Text(KeyText(Text::Borrowed(name)));
                // A shorter life of the key is life enough to look it up.
                let entries: &BTreeMap<Key<'_>, (Value<'a>, Value<'a>)> = entries;
                Ok(entries.get(&key).map(|(_, value)| value.clone()))
            }
        }
    }

    pub fn find(&self, key: &Value<'_>) -> Result<Option<Value<'a>>, Error> {
        match (self, key) {
            (_, Value::String(name)) => self.field(name),
            (Self::Values(entries), key) => {
                let Some(key) = Key::of(key) else { return Ok(None) };
                let entries: &BTreeMap<Key<'_>, (Value<'a>, Value<'a>)> = entries;
                Ok(entries.get(&key).map(|(_, value)| value.clone()))
            }
            (Self::Json(_, Some(_)), _) => Err(Error::NoOverload),
            (Self::Json(_, None), _) => Ok(None),
        }
    }

    /// In their order.
    pub fn keys(&self, meter: &Meter) -> Result<Vec<Value<'a>>, Error> {
        meter.step(self.len())?;
        Ok(match self {
            Self::Values(entries) => entries.values().map(|(key, _)| key.clone()).collect(),
            Self::Json(map, Some(Shape { form: Form::Object(object), .. })) => object
                .fields
                .iter()
                .filter(|(_, field)| map.contains_key(&field.name))
                .map(|(escaped, _)| Value::from(escaped.as_str()))
                .collect(),
            Self::Json(map, _) => map.keys().map(|key| Value::from(key.as_str())).collect(),
        })
    }

    pub fn equals(&self, other: &Self, meter: &Meter) -> Result<bool, Error> {
        if self.len() != other.len() {
            return Ok(false);
        }
        for key in self.keys(meter)? {
            let same = match (self.find(&key)?, other.find(&key)?) {
                (Some(left), Some(right)) => left.equals(&right, meter)?,
                (left, right) => left.is_none() && right.is_none(),
            };
            if !same {
                return Ok(false);
            }
        }
        match (self, other) {
            (Self::Json(left, Some(shape)), Self::Json(right, _)) => same_unknown(left, right, shape, meter),
            _ => Ok(true),
        }
    }

    /// With one more entry; in place if nobody else holds the map.
    pub fn insert(&mut self, key: Value<'a>, value: Value<'a>, meter: &Meter) -> Result<(), Error> {
        if let Self::Json(..) = self {
            *self = Self::Values(Arc::new(self.entries(meter)?));
        }
        let Self::Values(entries) = self else { return Ok(()) };
        let Some(place) = Key::of(&key) else {
            return Err(Error::failed(format!("unsupported key type: {}", key.to_type().name())));
        };
        if entries.contains_key(&place) {
            return Err(Error::failed(format!("insert failed: key {key} already exists")));
        }
        Arc::make_mut(entries).insert(place, (key, value));
        Ok(())
    }

    fn entries(&self, meter: &Meter) -> Result<Entries<'a>, Error> {
        let mut entries = Entries::new();
        for key in self.keys(meter)? {
            if let (Some(place), Some(value)) = (Key::of(&key), self.find(&key)?) {
                entries.insert(place, (key, value));
            }
        }
        Ok(entries)
    }
}

/// Whether what no field describes is the same where both have it.
fn same_unknown(
    left: &JsonMap<String, Json>,
    right: &JsonMap<String, Json>,
    shape: &Shape,
    meter: &Meter,
) -> Result<bool, Error> {
    let Form::Object(object) = &shape.form else { return Ok(true) };
    let known: std::collections::BTreeSet<&str> = object.fields.values().map(|field| field.name.as_str()).collect();
    for (name, value) in left.iter().filter(|(name, _)| !known.contains(name.as_str())) {
        let Some(other) = right.get(name) else { continue };
        if !read_any(value).equals(&read_any(other), meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}
