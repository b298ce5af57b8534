//! What validation of any kind is made of.

mod at;
mod same;

use machinery::field::{Error, ErrorList};
use machinery::quantity::Quantity;
use machinery::validation::{percent, port_name, port_number, validate_label_selector};
use serde_json::Value;

pub use at::At;
pub use same::same;

pub const NON_NEGATIVE: &str = "must be greater than or equal to 0";
pub const IMMUTABLE: &str = "field is immutable";

/// An error unless the value is absent or not negative.
pub fn non_negative(at: &At) -> Option<Error> {
    at.int().filter(|number| *number < 0).map(|_| at.invalid(NON_NEGATIVE))
}

/// An error when the text is absent, empty or none of `supported`.
pub fn required_one_of(at: &At, supported: &[&str]) -> Option<Error> {
    if at.text().is_empty() { Some(at.required("")) } else { one_of(at, supported) }
}

/// An error when there is a text that is none of `supported`.
pub fn one_of(at: &At, supported: &[&str]) -> Option<Error> {
    let known = at.text().is_empty() || supported.contains(&at.text());
    (!known).then(|| at.not_supported(supported))
}

/// An error when the value is absent or empty.
pub fn required(at: &At) -> Option<Error> {
    at.is_empty().then(|| at.required(""))
}

/// A text that must be there and pass `check`.
pub fn required_name(at: &At, check: fn(&str) -> Vec<String>) -> ErrorList {
    if at.text().is_empty() { vec![at.required("")] } else { at.check(check) }
}

/// A text that passes `check` when it is there.
pub fn optional_name(at: &At, check: fn(&str) -> Vec<String>) -> ErrorList {
    if at.text().is_empty() { ErrorList::new() } else { at.check(check) }
}

/// An error when the field is not what it was.
pub fn immutable(new: &At, old: &At) -> Option<Error> {
    (!same(new.value, old.value)).then(|| new.invalid(IMMUTABLE))
}

/// Texts that occur more than once among the fields `name` of `items`, from the second on.
pub fn duplicates(items: &[At], name: &str) -> ErrorList {
    let mut seen = std::collections::HashSet::new();
    let names = items.iter().map(|item| item.child(name)).filter(|at| !at.is_empty());
    names.filter_map(|at| (!seen.insert(at.value.to_string())).then(|| at.duplicate())).collect()
}

/// A port by number or by name.
pub fn port_or_name(at: &At) -> ErrorList {
    match at.value {
        Value::String(name) => at.messages(port_name(name)),
        _ => at.messages(port_number(at.int().unwrap_or(0))),
    }
}

/// A number that is not negative, or a percentage.
pub fn int_or_percent(at: &At) -> ErrorList {
    match at.value {
        Value::Null => ErrorList::new(),
        Value::String(text) => at.messages(percent(text)),
        _ => non_negative(at).into_iter().collect(),
    }
}

/// The number before the percent sign, when the value is a percentage.
pub fn percentage(at: &At) -> Option<i64> {
    at.text().strip_suffix('%')?.parse().ok()
}

/// Whether an int-or-percent is zero, as `0` or `0%`.
pub fn is_zero(at: &At) -> bool {
    at.int() == Some(0) || percentage(at) == Some(0)
}

/// The quantity there is, when there is one that can be read.
pub fn quantity(at: &At) -> Option<Quantity> {
    Quantity::parse(&crate::columns::scalar(at.value)).ok()
}

/// A quantity that must be readable and not negative.
pub fn non_negative_quantity(at: &At) -> Option<Error> {
    match quantity(at) {
        None => Some(at.invalid("must be a valid resource quantity")),
        Some(amount) if amount.is_negative() => Some(at.invalid(NON_NEGATIVE)),
        Some(_) => None,
    }
}

/// A `metav1.LabelSelector` that must select the pods of the template. `workload` is named in the text.
pub fn workload_selector(selector: &At, template: &At, workload: &str) -> ErrorList {
    if !selector.is_set() {
        return vec![selector.required("")];
    }
    let mut errors = validate_label_selector(selector.value, &selector.path);
    if selector.child("matchLabels").is_empty() && selector.child("matchExpressions").is_empty() {
        errors.push(selector.invalid(format!("empty selector is invalid for {workload}")));
    }
    errors.extend(selector_matches(selector, template));
    errors
}

/// The selector must match the labels of the pods that the template makes.
pub fn selector_matches(selector: &At, template: &At) -> Option<Error> {
    let labels_at = template.child("metadata").child("labels");
    let labels = labels_at.entries().iter().map(|(key, label)| ((*key).to_owned(), label.text().to_owned())).collect();
    let parsed = machinery::selector::LabelSelector::from_object(selector.value).ok()?;
    let text = "`selector` does not match template `labels`";
    (!parsed.matches_map(&labels)).then(|| labels_at.invalid(text))
}
