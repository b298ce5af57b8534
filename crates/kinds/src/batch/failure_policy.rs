//! When a Job counts as failed or as done before all of its pods are.

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
use machinery::validation::qualified_name;

use crate::check::{At, non_negative};

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const PATTERNS_MAX: usize = 20;
const INDEXES_LENGTH_MAX: usize = 64 * 1024;
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: &[&str] = &["In", "NotIn"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];

pub fn validate_failure_policy(spec: &At) -> ErrorList {
    let rules = spec.child("podFailurePolicy").child("rules");
    let template = spec.child("template").child("spec");
    let lists = ["containers", "initContainers"].map(|list| template.child(list).items());
    let names: HashSet<&str> = lists.iter().flatten().map(|container| container.child("name").text()).collect();
    let mut errors: ErrorList = too_many(&rules, RULES_MAX).into_iter().collect();
    let per_index = spec.child("backoffLimitPerIndex").is_set();
    errors.extend(rules.items().iter().flat_map(|rule| validate_rule(rule, per_index, &names)));
    errors
}

fn too_many(list: &At, max: usize) -> Option<Error> {
    let count = list.items().len();
    (count > max).then(|| Error::too_many(&list.path, count, max))
}

/// A text that must be one of some, which upstream lists in brackets when it is absent.
fn chosen(at: &At, supported: &[&str]) -> Option<Error> {
    if at.is_empty() {
        return Some(at.required(&format!("valid values: {}", format!("{supported:?}").replace(", ", " "))));
    }
    (!supported.contains(&at.text())).then(|| at.not_supported(supported))
}

fn validate_rule(rule: &At, per_index: bool, containers: &HashSet<&str>) -> ErrorList {
    let (action, codes, conditions) = (rule.child("action"), rule.child("onExitCodes"), rule.child("onPodConditions"));
    let mut errors: ErrorList = chosen(&action, ACTIONS).into_iter().collect();
    if action.text() == "FailIndex" && !per_index {
        errors.push(action.invalid("requires the backoffLimitPerIndex to be set"));
    }
    if codes.is_set() {
        errors.extend(validate_exit_codes(&codes, containers));
    }
    errors.extend(too_many(&conditions, PATTERNS_MAX));
    for pattern in conditions.items() {
        errors.extend(pattern.child("type").check(qualified_name));
        errors.extend(chosen(&pattern.child("status"), STATUSES));
    }
    match (codes.is_set(), !conditions.is_empty()) {
        (true, true) => {
            errors.push(rule.invalid_empty("specifying both OnExitCodes and OnPodConditions is not supported"));
        }
        (false, false) => {
            errors.push(rule.invalid_empty("specifying one of OnExitCodes and OnPodConditions is required"));
        }
        _ => {}
    }
    errors
}

fn validate_exit_codes(codes: &At, containers: &HashSet<&str>) -> ErrorList {
    let (operator, name, values) = (codes.child("operator"), codes.child("containerName"), codes.child("values"));
    let mut errors: ErrorList = chosen(&operator, OPERATORS).into_iter().collect();
    if name.is_set() && !containers.contains(name.text()) {
        errors.push(name.invalid("must be one of the container or initContainer names in the pod template"));
    }
    if values.is_empty() {
        errors.push(values.invalid("at least one value is required"));
    }
    errors.extend(too_many(&values, EXIT_CODES_MAX));
    let items = values.items();
    let mut seen = HashSet::new();
    for value in &items {
        if operator.text() == "In" && value.int() == Some(0) {
            errors.push(value.invalid("must not be 0 for the In operator"));
        }
        errors.extend((!seen.insert(value.int())).then(|| value.duplicate()));
    }
    if !items.is_sorted_by_key(At::int) {
        errors.push(values.invalid("must be ordered"));
    }
    errors
}

pub fn validate_success_policy(spec: &At) -> ErrorList {
    let policy = spec.child("successPolicy");
    let rules = policy.child("rules");
    let mut errors = ErrorList::new();
    if policy.is_set() && rules.is_empty() {
        errors.push(rules.required("at least one rules must be specified when the successPolicy is specified"));
    }
    errors.extend(too_many(&rules, RULES_MAX));
    let completions = spec.child("completions").int().unwrap_or(0);
    errors.extend(rules.items().iter().flat_map(|rule| validate_success_rule(rule, completions)));
    errors
}

fn validate_success_rule(rule: &At, completions: i64) -> ErrorList {
    let (count, indexes) = (rule.child("succeededCount"), rule.child("succeededIndexes"));
    let mut errors = ErrorList::new();
    if !count.is_set() && !indexes.is_set() {
        errors.push(rule.required("at least one of succeededCount or succeededIndexes must be specified"));
    }
    if indexes.text().len() > INDEXES_LENGTH_MAX {
        errors.push(Error::too_long(&indexes.path, INDEXES_LENGTH_MAX));
    }
    let total = match count_indexes(indexes.text(), completions) {
        Ok(total) => total,
        Err(text) => {
            errors.push(indexes.invalid(format!("error parsing succeededIndexes: {text}")));
            0
        }
    };
    errors.extend(non_negative(&count));
    let of_indexes = "the number of indexes in the specified succeededIndexes field";
    let bounds = [(completions, "the number of specified completions", true), (total, of_indexes, indexes.is_set())];
    for (bound, called, _) in bounds.iter().filter(|(bound, _, applies)| *applies && count.int() > Some(*bound)) {
        errors.push(count.invalid(format!("must be less than or equal to {bound} ({called})")));
    }
    errors
}

/// How many indexes a text such as `0,2-4` names: ascending, each below `completions`.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None);
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let (first, end) = interval.split_once('-').unwrap_or((interval, interval));
        let number = |part: &str| {
            let parsed: Result<i64, _> = part.parse();
            parsed.map_err(|_| format!("cannot convert string to integer for index: {part:?}"))
        };
        let (first, end) = (number(first)?, number(end)?);
        if last.is_some_and(|last| first <= last) {
            return Err(format!("non-increasing order, previous: {}, current: {first}", last.unwrap_or(0)));
        }
        if first >= completions {
            return Err(format!("too large index: \"{first}\""));
        }
        if interval.contains('-') && (end <= first || end >= completions) {
            return Err(match end >= completions {
                true => format!("too large index: \"{end}\""),
                false => format!("non-increasing order, previous: {first}, current: {end}"),
            });
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_counted_and_checked() {
        assert_eq!(count_indexes("", 5), Ok(0));
        assert_eq!(count_indexes("0,2-4", 5), Ok(4));
        assert_eq!(count_indexes("5", 5), Err("too large index: \"5\"".to_owned()));
        assert_eq!(count_indexes("2,1", 5), Err("non-increasing order, previous: 2, current: 1".to_owned()));
        assert_eq!(count_indexes("a", 5), Err("cannot convert string to integer for index: \"a\"".to_owned()));
    }
}
