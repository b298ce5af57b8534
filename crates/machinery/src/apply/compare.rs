//! What a write changed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::filter::Filter;
use super::form::{Below, Form, items};
use super::path::{Element, compare_values};
use super::set::Set;

/// The fields in which two objects differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub removed: Set,
    /// What the new object says that the old one did not, or said otherwise.
    pub written: Set,
}

/// What happened to one field itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Removed,
    Written,
}

impl Comparison {
    pub fn is_same(&self) -> bool {
        self.removed.is_empty() && self.written.is_empty()
    }

    /// What the filter lets through.
    pub fn filtered(self, filter: &Filter) -> Self {
        Self { removed: filter.of(self.removed), written: filter.of(self.written) }
    }

    /// Leaves out `fields` themselves.
    pub fn without_only(self, fields: &Set) -> Self {
        Self { removed: self.removed.difference(fields), written: self.written.difference(fields) }
    }

    fn add(&mut self, element: Element, change: Change, below: Self) {
        let (removed, written) = (change == Change::Removed, change == Change::Written);
        if removed || !below.removed.is_empty() {
            self.removed.add(element.clone(), removed, below.removed);
        }
        self.written.add(element, written, below.written);
    }
}

/// Compares two objects of one form.
pub fn compare(old: &Map<String, Value>, new: &Map<String, Value>, form: Form) -> Comparison {
    entries(Some(old), Some(new), form)
}

fn walk(old: Option<&Value>, new: Option<&Value>, form: Form) -> (Change, Comparison) {
    let below = match form.below(old, new) {
        Below::Nothing => return (changed(old, new), Comparison::default()),
        Below::Entries => entries(old.and_then(Value::as_object), new.and_then(Value::as_object), form),
        Below::Items => list(old, new, form),
    };
    let change = match (old, new) {
        (None, _) => Change::Written,
        (_, None) => Change::Removed,
        _ => Change::None,
    };
    (change, below)
}

fn changed(old: Option<&Value>, new: Option<&Value>) -> Change {
    match (old, new) {
        (_, None) => Change::Removed,
        (Some(old), Some(new)) if compare_values(old, new).is_eq() => Change::None,
        _ => Change::Written,
    }
}

fn entries(old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>, form: Form) -> Comparison {
    let mut comparison = Comparison::default();
    let mut entry = |name: &String, before: Option<&Value>, after: Option<&Value>| {
        let (change, below) = walk(before, after, form.entry(name).unwrap_or(Form::Deduced));
        if change != Change::None || !below.is_same() {
            comparison.add(Element::field(name), change, below);
        }
    };
    for (name, after) in new.into_iter().flatten() {
        entry(name, old.and_then(|old| old.get(name)), Some(after));
    }
    for (name, before) in old.into_iter().flatten() {
        if new.is_none_or(|new| !new.contains_key(name)) {
            entry(name, Some(before), None);
        }
    }
    comparison
}

/// The items before and after of each element.
type Sides<'a> = (Vec<&'a Value>, Vec<&'a Value>);

fn list(old: Option<&Value>, new: Option<&Value>, form: Form) -> Comparison {
    let mut found: BTreeMap<Element, Sides<'_>> = BTreeMap::new();
    for (element, item) in items(form, old) {
        found.entry(element).or_default().0.push(item);
    }
    for (element, item) in items(form, new) {
        found.entry(element).or_default().1.push(item);
    }
    let mut comparison = Comparison::default();
    for (element, (before, after)) in found {
        let (change, below) = item(&before, &after, form.item());
        comparison.add(element, change, below);
    }
    comparison
}

/// Items that are there more than once count as one, with nothing below.
fn item(before: &[&Value], after: &[&Value], form: Form) -> (Change, Comparison) {
    match (before, after) {
        ([] | [_], [] | [_]) => walk(before.first().copied(), after.first().copied(), form),
        ([_, _, ..], [_, _, ..]) if before == after => (Change::None, Comparison::default()),
        ([_, _, ..], [_, _, ..]) => (Change::Written, Comparison::default()),
        ([_, _, ..], _) => {
            let below = after.first().map(|item| walk(None, Some(item), form).1).unwrap_or_default();
            (if after.is_empty() { Change::Removed } else { Change::Written }, below)
        }
        (_, _) => {
            let below = before.first().map(|item| walk(Some(item), None, form).1).unwrap_or_default();
            (Change::Written, below)
        }
    }
}
