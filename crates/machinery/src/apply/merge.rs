//! A configuration laid over an object.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::form::{Below, Form, items};
use super::path::Element;

/// `live` with what `config` says. Both have been checked against the form.
pub fn merge(live: &Map<String, Value>, config: &Map<String, Value>, form: Form) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, value) in config {
        let value = match merged.get(name) {
            Some(held) => walk(held, value, form.entry(name).unwrap_or(Form::Deduced)),
            None => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

/// What merges by itself below a value is not taken away by a null or by an empty object or list.
fn walk(live: &Value, config: &Value, form: Form) -> Value {
    match (form.below(Some(live), Some(config)), live, config) {
        (Below::Entries, Value::Object(live), Value::Object(config)) => Value::Object(merge(live, config, form)),
        (Below::Entries, Value::Object(_), Value::Null) | (Below::Items, Value::Array(_), Value::Null) => live.clone(),
        (Below::Items, Value::Array(_), Value::Array(_)) => list(live, config, form),
        _ => config.clone(),
    }
}

/// Items in the order of `config`, with those of `live` alone where they stood between them.
fn list(live: &Value, config: &Value, form: Form) -> Value {
    let (live, config) = (items(form, Some(live)), items(form, Some(config)));
    let held = index(&live);
    let wanted: BTreeSet<&Element> = config.iter().map(|(element, _)| element).collect();
    // Items of both in the order of the configuration; those taken already are gone from the front.
    let mut shared: VecDeque<&Element> =
        config.iter().map(|(element, _)| element).filter(|element| held.contains_key(element)).collect();
    let (mut left, mut right) = (live.iter().peekable(), config.iter().peekable());
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    while let Some(next) = choose(left.peek().map(|(element, _)| element), right.peek(), &wanted, &shared) {
        match next {
            Next::Keep => merged.extend(left.next().map(|(_, item)| (*item).clone())),
            Next::Skip => drop(left.next()),
            Next::Take(element, item) => {
                merged.push(match held.get(element) {
                    Some(Some(held)) => walk(held, item, form.item()),
                    _ => item.clone(),
                });
                shared.pop_front_if(|front| *front == element);
                right.next();
            }
        }
    }
    Value::Array(merged)
}

/// The items by what tells them apart; nothing for those that are there more than once.
fn index<'a>(items: &'a [(Element, &'a Value)]) -> BTreeMap<&'a Element, Option<&'a Value>> {
    let mut by_element = BTreeMap::new();
    for (element, item) in items {
        by_element.entry(element).and_modify(|item| *item = None).or_insert(Some(*item));
    }
    by_element
}

enum Next<'a> {
    /// The live item goes first.
    Keep,
    /// The live item is in the configuration, and has its turn there.
    Skip,
    Take(&'a Element, &'a Value),
}

/// Which item goes next; nothing when both lists are at their end.
fn choose<'a>(
    live: Option<&Element>,
    config: Option<&&'a (Element, &'a Value)>,
    wanted: &BTreeSet<&Element>,
    shared: &VecDeque<&Element>,
) -> Option<Next<'a>> {
    match (live, config) {
        (Some(element), _) if !wanted.contains(element) => Some(Next::Keep),
        (Some(element), _) if shared.front() != Some(&element) => Some(Next::Skip),
        (_, Some((element, item))) => Some(Next::Take(element, item)),
        (_, None) => None,
    }
}
