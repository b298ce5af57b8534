//! Conditions of the common type.
//!
//! upstream: apimachinery/pkg/apis/meta/v1/validation (ValidateConditions)

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
use machinery::validation::{pattern, validate_label_name};

use super::At;

const STATUSES: &[&str] = &["False", "True", "Unknown"];
const REASON_MAX: usize = 1024;
const MESSAGE_MAX: usize = 32 << 10;
const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
    alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";

pub fn validate_conditions(conditions: &At) -> ErrorList {
    let mut seen = HashSet::new();
    let mut errors = ErrorList::new();
    for condition in conditions.items() {
        let of_type = condition.child("type");
        errors.extend((!seen.insert(of_type.text())).then(|| of_type.duplicate()));
        errors.extend(validate_condition(&condition));
    }
    errors
}

fn validate_condition(condition: &At) -> ErrorList {
    let [of_type, status, generation, time, reason, message] =
        ["type", "status", "observedGeneration", "lastTransitionTime", "reason", "message"]
            .map(|field| condition.child(field));
    let mut errors = validate_label_name(of_type.text(), &of_type.path);
    errors.extend(
        (!STATUSES.contains(&status.text())).then(|| Error::not_supported(&status.path, status.text(), STATUSES)),
    );
    let negative = generation.int().is_some_and(|number| number < 0);
    errors.extend(negative.then(|| generation.invalid("must be greater than or equal to zero")));
    errors.extend(time.is_empty().then(|| time.required("")));
    if reason.is_empty() {
        errors.push(reason.required(""));
    } else if !is_reason(reason.text()) {
        let examples = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];
        errors.push(reason.invalid(pattern(REASON, "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", &examples)));
    }
    for (at, max) in [(reason, REASON_MAX), (message, MESSAGE_MAX)] {
        errors.extend((at.text().len() > max).then(|| Error::too_long(&at.path, max)));
    }
    errors
}

fn is_reason(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with([',', ':'])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_,:".contains(c))
}
