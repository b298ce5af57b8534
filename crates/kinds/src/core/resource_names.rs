//! What resources are called, and what their names say about them.
//!
//! upstream: pkg/apis/core/helper

use machinery::field::{Error, ErrorList};
use machinery::validation::qualified_name;

use crate::check::{At, non_negative_quantity, quantity};

const HUGE_PAGES: &str = "hugepages-";
const OF_CONTAINERS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Objects that a quota counts under a name of their own.
const OBJECTS: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
/// What a quota may add up, besides what containers take.
const SUMS: [&str; 7] = [
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

pub fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

pub fn is_container_resource(name: &str) -> bool {
    OF_CONTAINERS.contains(&name) || is_huge_page(name)
}

/// A name without a domain that a quota may limit.
pub fn is_quota_resource(name: &str) -> bool {
    let huge_pages = is_huge_page(name.strip_prefix("requests.").unwrap_or(name));
    OF_CONTAINERS.contains(&name) || OBJECTS.contains(&name) || SUMS.contains(&name) || huge_pages
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// A resource that a domain outside of Kubernetes names.
pub fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether requests may be smaller than limits.
pub fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// A name that is qualified, or one of Kubernetes' own.
pub fn validate_resource_name(name: &str, at: &At) -> ErrorList {
    let invalid = |text: &str| Error::invalid(&at.path, name, text);
    let malformed = qualified_name(name);
    if !malformed.is_empty() {
        return malformed.iter().map(|text| invalid(text)).collect();
    }
    let standard = name == "storage" || is_quota_resource(name);
    let text = "must be a standard resource type or fully qualified";
    (!name.contains('/') && !standard).then(|| invalid(text)).into_iter().collect()
}

pub fn validate_container_resource_name(name: &str, at: &At) -> ErrorList {
    let mut errors = validate_resource_name(name, at);
    if !name.contains('/') && !is_container_resource(name) {
        errors.push(Error::invalid(&at.path, name, "must be a standard resource for containers"));
    } else if !is_native(name) && !is_extended(name) {
        errors.push(Error::invalid(&at.path, name, "doesn't follow extended resource name standard"));
    }
    errors
}

/// An amount that is not negative, and whole where only whole ones exist.
pub fn validate_amount(name: &str, amount: &At) -> ErrorList {
    let mut errors: ErrorList = non_negative_quantity(amount).into_iter().collect();
    let whole = OBJECTS.contains(&name) || is_extended(name);
    if whole && quantity(amount).is_some_and(|amount| amount.milli_value() % 1000 != 0) {
        errors.push(amount.invalid("must be an integer"));
    }
    errors
}
