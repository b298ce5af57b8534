//! What requests are matched by: rules and conditions.
//!
//! upstream: pkg/apis/admissionregistration/validation

use std::collections::HashSet;

use expression::Type;
use machinery::field::{Error, ErrorList};
use machinery::validation::{path_segment_name, qualified_name, validate_label_selector};

use super::expressions::{Offered, check, environment};
use crate::check::{At, duplicates, one_of, required, required_name, required_one_of};

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];
const CONDITIONS_MAX: usize = 64;

pub fn validate_rule(rule: &At) -> ErrorList {
    let mut errors = validate_list(&rule.child("operations"), "operations");
    errors.extend(rule.child("operations").items().iter().filter_map(|item| unsupported(item, OPERATIONS)));
    errors.extend(validate_list(&rule.child("apiGroups"), "API groups"));
    errors.extend(validate_list(&rule.child("apiVersions"), "API versions"));
    errors.extend(rule.child("apiVersions").items().iter().filter_map(required));
    errors.extend(validate_resources(&rule.child("resources")));
    errors.extend(one_of(&rule.child("scope"), SCOPES));
    errors
}

fn unsupported(item: &At, supported: &[&str]) -> Option<Error> {
    (!supported.contains(&item.text())).then(|| item.not_supported(supported))
}

/// A list that is not empty and in which everything stands alone.
fn validate_list(list: &At, of: &str) -> ErrorList {
    let mut errors: ErrorList = required(list).into_iter().collect();
    let items = list.items();
    if items.len() > 1 && items.iter().any(|item| item.text() == "*") {
        errors.push(list.invalid(format!("if '*' is present, must not specify other {of}")));
    }
    errors
}

fn validate_resources(resources: &At) -> ErrorList {
    let mut errors: ErrorList = required(resources).into_iter().collect();
    let (mut all_below, mut below_all) = (HashSet::new(), HashSet::new());
    // Upstream looks at the last one without a subresource.
    let mut named = false;
    let items = resources.items();
    for item in &items {
        let text = item.text();
        if text.is_empty() {
            errors.push(item.required(""));
            continue;
        }
        let Some((resource, below)) = text.split_once('/') else {
            named = text != "*";
            continue;
        };
        let present = |pattern: String| item.invalid(format!("if '{pattern}' is present, must not specify {text}"));
        errors.extend(all_below.contains(resource).then(|| present(format!("{resource}/*"))));
        errors.extend(below_all.contains(below).then(|| present(format!("*/{below}"))));
        if below == "*" {
            all_below.insert(resource);
        }
        if resource == "*" {
            below_all.insert(below);
        }
    }
    let has = |text: &str| items.iter().any(|item| item.text() == text);
    if items.len() > 1 && has("*/*") {
        errors.push(resources.invalid("if '*/*' is present, must not specify other resources"));
    }
    if has("*") && named {
        errors.push(resources.invalid("if '*' is present, must not specify other resources without subresources"));
    }
    errors
}

/// `params` tells whether conditions may look at parameters.
pub fn validate_conditions(conditions: &At, params: bool) -> ErrorList {
    let items = conditions.items();
    let environment = environment(Offered { params, authorizer: true, ..Offered::default() });
    let mut errors = ErrorList::new();
    if items.len() > CONDITIONS_MAX {
        errors.push(Error::too_many(&conditions.path, items.len(), CONDITIONS_MAX));
    }
    for condition in &items {
        let expression = condition.child("expression");
        match expression.text().trim() {
            "" => errors.push(expression.required("")),
            text => errors.extend(check(&environment, &expression, text, &[Type::Bool]).err()),
        }
        errors.extend(required_name(&condition.child("name"), qualified_name));
    }
    errors.extend(duplicates(&items, "name"));
    errors
}

pub fn validate_matching(matching: &At) -> ErrorList {
    let mut errors: ErrorList =
        required_one_of(&matching.child("matchPolicy"), &["Equivalent", "Exact"]).into_iter().collect();
    for selector in ["namespaceSelector", "objectSelector"].map(|field| matching.child(field)) {
        match selector.is_set() {
            true => errors.extend(validate_label_selector(selector.value, &selector.path)),
            false => errors.push(selector.required("")),
        }
    }
    let rules = ["resourceRules", "excludeResourceRules"].map(|field| matching.child(field).items());
    errors.extend(rules.iter().flatten().flat_map(validate_named_rule));
    errors
}

fn validate_named_rule(rule: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for name in rule.child("resourceNames").items() {
        errors.extend(name.check(path_segment_name));
        errors.extend((!seen.insert(name.text())).then(|| name.duplicate()));
    }
    errors.extend(validate_rule(rule));
    errors
}
