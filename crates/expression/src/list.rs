//! Lists: of JSON, of values, or two of them joined.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::Error;
use crate::map::Key;
use crate::meter::Meter;
use crate::read::{read, read_any};
use crate::shape::{Merge, Shape};
use crate::value::Value;

/// Joined lists that would be longer stop the evaluation.
const JOINED_MAX: usize = 1 << 24;

#[derive(Clone, Debug)]
pub struct List<'a> {
    items: Items<'a>,
    merge: &'a Merge,
}

#[derive(Clone, Debug)]
enum Items<'a> {
    Json(&'a [Json], Option<&'a Shape>),
    Values(Arc<Vec<Value<'a>>>),
    /// With the length of both.
    Joined(Arc<(List<'a>, List<'a>)>, usize),
}

impl<'a> From<Vec<Value<'a>>> for List<'a> {
    fn from(values: Vec<Value<'a>>) -> Self {
        Self { items: Items::Values(Arc::new(values)), merge: &Merge::Atomic }
    }
}

impl<'a> List<'a> {
    /// Elements are read along `shape`, or as they are.
    pub fn json(items: &'a [Json], shape: Option<&'a Shape>, merge: &'a Merge) -> Self {
        Self { items: Items::Json(items, shape), merge }
    }

    pub fn len(&self) -> usize {
        match &self.items {
            Items::Json(items, _) => items.len(),
            Items::Values(values) => values.len(),
            Items::Joined(_, length) => *length,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at an index below the length.
    pub fn get(&self, index: usize) -> Result<Value<'a>, Error> {
        let mut list = self;
        let mut index = index;
        loop {
            match &list.items {
                Items::Json(items, Some(shape)) => return read(&items[index], shape),
                Items::Json(items, None) => return Ok(read_any(&items[index])),
                Items::Values(values) => return Ok(values[index].clone()),
                Items::Joined(pair, _) => {
                    let first = pair.0.len();
                    let in_first = index < first;
                    list = if in_first { &pair.0 } else { &pair.1 };
                    index -= if in_first { 0 } else { first };
                }
            }
        }
    }

    pub fn iter(&self) -> Iter<'_, 'a> {
        Iter { part: self, at: 0, rest: Vec::new() }
    }

    /// All elements.
    pub fn values(&self, meter: &Meter) -> Result<Vec<Value<'a>>, Error> {
        meter.step(self.len())?;
        self.iter().collect()
    }

    /// Adds to the end, in place if nobody else holds the list.
    pub fn push(&mut self, value: Value<'a>) -> Result<(), Error> {
        if let Items::Values(values) = &mut self.items {
            Arc::make_mut(values).push(value);
            return Ok(());
        }
        let mut values = self.iter().collect::<Result<Vec<_>, _>>()?;
        values.push(value);
        self.items = Items::Values(Arc::new(values));
        Ok(())
    }

    pub fn contains(&self, value: &Value<'a>, meter: &Meter) -> Result<bool, Error> {
        for element in self.iter() {
            if element?.equals(value, meter)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Both lists; one that is a set or a map takes over what is new to it.
    pub fn join(&self, other: &Self, meter: &Meter) -> Result<Self, Error> {
        match self.merge {
            Merge::Atomic => self.concatenate(other),
            merge => {
                let mut values = self.values(meter)?;
                for value in other.values(meter)? {
                    match position(&values, &value, merge, meter)? {
                        None => values.push(value),
                        Some(at) if matches!(merge, Merge::Map(_)) => values[at] = value,
                        Some(_) => {}
                    }
                }
                Ok(Self { items: Items::Values(Arc::new(values)), merge })
            }
        }
    }

    fn concatenate(&self, other: &Self) -> Result<Self, Error> {
        let length = self.len() + other.len();
        if self.is_empty() || other.is_empty() {
            return Ok(if self.is_empty() { other.clone() } else { self.clone() });
        }
        if length > JOINED_MAX {
            return Err(Error::CostLimit);
        }
        Ok(Self { items: Items::Joined(Arc::new((self.clone(), other.clone())), length), merge: &Merge::Atomic })
    }

    pub fn equals(&self, other: &Self, meter: &Meter) -> Result<bool, Error> {
        if self.len() != other.len() {
            return Ok(false);
        }
        match self.merge {
            Merge::Atomic => {
                for (left, right) in self.iter().zip(other.iter()) {
                    if !left?.equals(&right?, meter)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Merge::Set => self.holds_all(other, meter),
            merge => {
                let values = self.values(meter)?;
                for right in other.iter() {
                    let right = right?;
                    let Some(at) = position(&values, &right, merge, meter)? else { return Ok(false) };
                    if !values[at].equals(&right, meter)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// Whether every element of `other` is in it.
    pub fn holds_all(&self, other: &Self, meter: &Meter) -> Result<bool, Error> {
        let keys: Option<BTreeSet<Key<'_>>> = self.values(meter)?.iter().map(Key::of).collect();
        for value in other.iter() {
            let value = value?;
            meter.step(1)?;
            let found = match (&keys, Key::of(&value)) {
                (Some(keys), Some(key)) => keys.contains(&key),
                _ => self.contains(&value, meter)?,
            };
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Goes from one part of joined lists to the next.
pub struct Iter<'l, 'a> {
    part: &'l List<'a>,
    /// How much of the part was passed.
    at: usize,
    /// Parts behind it, the next one last.
    rest: Vec<&'l List<'a>>,
}

impl<'a> Iterator for Iter<'_, 'a> {
    type Item = Result<Value<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Items::Joined(pair, _) = &self.part.items {
                self.rest.push(&pair.1);
                self.part = &pair.0;
            } else if self.at < self.part.len() {
                self.at += 1;
                return Some(self.part.get(self.at - 1));
            } else {
                self.part = self.rest.pop()?;
                self.at = 0;
            }
        }
    }
}

/// Where the element stands that counts as the same as `value`.
fn position(values: &[Value<'_>], value: &Value<'_>, merge: &Merge, meter: &Meter) -> Result<Option<usize>, Error> {
    for (index, element) in values.iter().enumerate() {
        let same = match merge {
            Merge::Map(keys) => same_keys(element, value, keys, meter)?,
            _ => element.equals(value, meter)?,
        };
        if same {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn same_keys(left: &Value<'_>, right: &Value<'_>, keys: &[String], meter: &Meter) -> Result<bool, Error> {
    let (Value::Map(left), Value::Map(right)) = (left, right) else { return Ok(false) };
    for key in keys {
        let same = match (left.field(key)?, right.field(key)?) {
            (Some(left), Some(right)) => left.equals(&right, meter)?,
            (left, right) => left.is_none() && right.is_none(),
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}
