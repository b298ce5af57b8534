//! Requests and limits, of containers and of whole pods.

use std::collections::BTreeSet;

use machinery::field::{Error, ErrorList};
use machinery::quantity::Quantity;
use machinery::validation::dns1123_label;

use crate::check::{At, optional_name, quantity, shown_quantity};
use crate::core::resource_names::{
    is_huge_page, may_overcommit, validate_amount, validate_container_resource_name, validate_resource_name,
};

type NameCheck = fn(&str, &At) -> ErrorList;

/// Names that an error lists; there may be as many errors as names.
const NAMES_SHOWN: usize = 10;

/// The resources of a container; `claims` are the claims of its pod.
pub fn validate_resources(resources: &At, claims: &BTreeSet<&str>) -> ErrorList {
    let mut errors = validate_requirements(resources, validate_container_resource_name);
    errors.extend(validate_claims(&resources.child("claims"), claims));
    errors
}

/// What a pod takes besides its containers.
pub fn validate_overhead(overhead: &At) -> ErrorList {
    let amounts = overhead.entries();
    amounts.iter().flat_map(|(name, amount)| validate_one(name, amount, validate_container_resource_name)).collect()
}

/// The resources of a pod as a whole, which the limits of its containers must fit into.
pub fn validate_pod_resources(spec: &At) -> ErrorList {
    let resources = spec.child("resources");
    let mut errors = ErrorList::new();
    if resources.child("claims").is_set() {
        errors.push(resources.child("claims").forbidden("claims cannot be set for Resources at pod-level"));
    }
    errors.extend(validate_requirements(&resources, validate_pod_resource_name));
    for (index, container) in spec.child("containers").items().iter().enumerate() {
        for (name, limit) in container.child("resources").child("limits").entries() {
            let of_pod = resources.child("limits").child(name);
            let (Some(own), Some(whole)) = (quantity(&limit), quantity(&of_pod)) else { continue };
            if own > whole {
                let path = resources.path.child("containers").index(index).key(name).child("limits");
                let text = format!("must be less than or equal to pod limits of {}", shown_quantity(&of_pod));
                errors.push(Error::invalid(&path, shown_quantity(&limit), text));
            }
        }
    }
    errors
}

fn validate_pod_resource_name(name: &str, at: &At) -> ErrorList {
    let errors = validate_resource_name(name, at);
    if !errors.is_empty() || matches!(name, "cpu" | "memory") || is_huge_page(name) {
        return errors;
    }
    vec![Error::not_supported(&at.path, name, &["cpu", "memory"])]
}

fn validate_requirements(resources: &At, check_name: NameCheck) -> ErrorList {
    let (limits, requests) = (resources.child("limits"), resources.child("requests"));
    let mut errors = ErrorList::new();
    for (name, amount) in limits.entries() {
        errors.extend(validate_one(name, &amount, check_name));
    }
    for (name, amount) in requests.entries() {
        errors.extend(validate_one(name, &amount, check_name));
        errors.extend(validate_against_limit(name, &amount, &requests, &limits));
    }
    let (limited, requested) = (limits.entries(), requests.entries());
    let has = |wanted: fn(&str) -> bool| limited.iter().chain(&requested).any(|(name, _)| wanted(name));
    if has(is_huge_page) && !has(|name| matches!(name, "cpu" | "memory")) {
        errors.push(resources.forbidden("HugePages require cpu or memory"));
    }
    errors
}

fn validate_one(name: &str, amount: &At, check_name: NameCheck) -> ErrorList {
    let mut errors = check_name(name, amount);
    errors.extend(validate_amount(name, amount));
    errors.extend(validate_pages(name, amount));
    errors
}

/// Huge pages come whole.
fn validate_pages(name: &str, amount: &At) -> Option<Error> {
    let page = Quantity::parse(name.strip_prefix("hugepages-")?).ok()?.value();
    let whole = page > 0 && quantity(amount)?.milli_value() % (page * 1000) == 0;
    let shown = shown_quantity(amount);
    let text = format!("{shown} is not positive integer multiple of {name}");
    (!whole).then(|| Error::invalid(&amount.path, shown, text))
}

fn validate_against_limit(name: &str, request: &At, requests: &At, limits: &At) -> ErrorList {
    let limit = limits.child(name);
    if !limit.is_set() {
        let text = "Limit must be set for non overcommitable resources";
        return (!may_overcommit(name)).then(|| limits.required(text)).into_iter().collect();
    }
    let (Some(requested), Some(limited)) = (quantity(request), quantity(&limit)) else { return ErrorList::new() };
    let relation = match may_overcommit(name) {
        false if requested != limited => "equal to",
        true if requested > limited => "less than or equal to",
        _ => return ErrorList::new(),
    };
    let text = format!("must be {relation} {name} limit of {}", shown_quantity(&limit));
    vec![Error::invalid(&requests.path, shown_quantity(request), text)]
}

/// What a container takes of the pod's claims: each of them once, whole or by request.
fn validate_claims(claims: &At, of_pod: &BTreeSet<&str>) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for claim in claims.items() {
        let (name, request) = (claim.child("name").text(), claim.child("request"));
        if name.is_empty() {
            errors.push(claim.required(""));
            continue;
        }
        errors.extend(optional_name(&request, dns1123_label));
        let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{}", request.text()) };
        let parts = format!("{name}/");
        let part_seen =
            request.is_empty() && seen.range(parts.clone()..).next().is_some_and(|of| of.starts_with(&parts));
        if seen.contains(name) || part_seen {
            errors.push(Error::duplicate(&claim.path, name));
        } else if !seen.insert(key.clone()) {
            errors.push(Error::duplicate(&claim.path, key));
        }
        errors.extend((!of_pod.contains(name)).then(|| unknown_claim(&claim, name, of_pod)));
    }
    errors
}

fn unknown_claim(claim: &At, name: &str, of_pod: &BTreeSet<&str>) -> Error {
    let names: Vec<&str> = of_pod.iter().copied().take(NAMES_SHOWN).collect();
    let known = if names.is_empty() { " which is empty".to_owned() } else { format!(": {}", names.join(", ")) };
    let detail = format!("must be one of the names in pod.spec.resourceClaims{known}");
    Error { detail, ..Error::not_found(&claim.path, name) }
}
