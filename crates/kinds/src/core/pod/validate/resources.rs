//! Requests and limits.

use machinery::field::ErrorList;
use machinery::quantity::Quantity;
use machinery::validation::qualified_name;

use crate::check::{At, non_negative_quantity, quantity};
use crate::columns::scalar;

const CONTAINER_RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const HUGE_PAGES: &str = "hugepages-";

pub fn validate_resources(resources: &At) -> ErrorList {
    let (limits, requests) = (resources.child("limits"), resources.child("requests"));
    let mut errors = ErrorList::new();
    for (name, amount) in limits.entries() {
        errors.extend(validate_amount(name, &amount));
    }
    for (name, amount) in requests.entries() {
        errors.extend(validate_amount(name, &amount));
        errors.extend(validate_against_limit(name, &amount, &requests, &limits));
    }
    errors
}

fn validate_amount(name: &str, amount: &At) -> ErrorList {
    let mut errors = validate_container_resource_name(name, amount);
    errors.extend(non_negative_quantity(amount));
    let whole = is_extended(name) || name.starts_with(HUGE_PAGES);
    if whole && quantity(amount).is_some_and(|amount| amount.milli_value() % 1000 != 0) {
        errors.push(amount.invalid("must be an integer"));
    }
    errors
}

fn validate_container_resource_name(name: &str, at: &At) -> ErrorList {
    let named = |text: String| machinery::field::Error::invalid(&at.path, name, text);
    let malformed = qualified_name(name);
    if !malformed.is_empty() {
        return malformed.into_iter().map(named).collect();
    }
    let known = CONTAINER_RESOURCES.contains(&name) || name.starts_with(HUGE_PAGES);
    if !name.contains('/') && !known {
        return vec![
            named("must be a standard resource type or fully qualified".to_owned()),
            named("must be a standard resource for containers".to_owned()),
        ];
    }
    let native = name.contains("kubernetes.io/");
    if name.contains('/') && !native && !is_extended(name) {
        return vec![named("doesn't follow extended resource name standard".to_owned())];
    }
    ErrorList::new()
}

/// A resource that a domain outside of Kubernetes names.
pub fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && qualified_name(&format!("requests.{name}")).is_empty()
}

fn validate_against_limit(name: &str, request: &At, requests: &At, limits: &At) -> ErrorList {
    let limit = limits.child(name);
    let fixed = is_extended(name) || name.starts_with(HUGE_PAGES);
    if !limit.is_set() {
        let needed = fixed.then(|| limits.required("Limit must be set for non overcommitable resources"));
        return needed.into_iter().collect();
    }
    let (Some(requested), Some(limited)) = (quantity(request), quantity(&limit)) else { return ErrorList::new() };
    let relation = match fixed {
        true if requested != limited => "equal to",
        false if requested > limited => "less than or equal to",
        _ => return ErrorList::new(),
    };
    let text = format!("must be {relation} {name} limit of {}", canonical(&limit, limited));
    vec![machinery::field::Error::invalid(&requests.path, canonical(request, requested), text)]
}

fn canonical(at: &At, parsed: Quantity) -> String {
    Quantity::normalize(&scalar(at.value)).unwrap_or_else(|_| parsed.to_string())
}
