//! Validation of claims and classes of devices.
//!
//! upstream: pkg/apis/resource/validation

use std::collections::{BTreeMap, BTreeSet};

use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain, label_value, validate_label_name};
use serde_json::Value;

use super::names::{by_name, validate_fully_qualified, validate_list, validate_set};
use super::selectors::validate_expression;
use crate::check::{At, NOT_POSITIVE, one_of, required_name};
use crate::core::pod::validate::drivers::validate_driver_name;

pub const REQUESTS_MAX: usize = 32;
pub const CONFIGS_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;
const CONSTRAINTS_MAX: usize = 32;
const SELECTORS_MAX: usize = 32;
const EXPRESSION_MAX: usize = 10 << 10;
const PARAMETERS_MAX: usize = 10 << 10;
const ONE_KIND: &str = "exactly one of `exactly` or `firstAvailable` is required";
const NO_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
pub const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];

/// The names of requests, and of those each may be met by.
pub type Names<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

pub fn request_names<'a>(devices: &At<'a>) -> Names<'a> {
    let requests = devices.child("requests").items();
    let name = |item: &At<'a>| item.child("name").text();
    requests.iter().map(|item| (name(item), item.child("firstAvailable").items().iter().map(name).collect())).collect()
}

/// The spec of a claim.
pub fn validate_spec(spec: &At) -> ErrorList {
    let devices = spec.child("devices");
    let names = request_names(&devices);
    let mut errors = validate_set(&devices.child("requests"), REQUESTS_MAX, by_name, validate_request);
    errors.extend(validate_list(&devices.child("constraints"), CONSTRAINTS_MAX, |constraint| {
        validate_constraint(constraint, &names)
    }));
    errors.extend(validate_list(&devices.child("config"), CONFIGS_MAX, |config| {
        let mut errors = validate_references(&config.child("requests"), &names);
        errors.extend(validate_config(config));
        errors
    }));
    errors
}

fn validate_request(request: &At) -> ErrorList {
    let (exactly, first) = (request.child("exactly"), request.child("firstAvailable"));
    let mut errors = request.child("name").check(dns1123_label);
    match (exactly.is_set(), !first.is_empty()) {
        (false, false) => errors.push(request.required(ONE_KIND)),
        (true, true) => {
            let text = format!("{ONE_KIND}, but multiple fields are set");
            errors.push(Error::invalid(&request.path, Value::Null, text));
        }
        (true, false) => errors.extend(validate_exact(&exactly)),
        (false, true) => errors.extend(validate_set(&first, ALTERNATIVES_MAX, by_name, |alternative| {
            let mut errors = alternative.child("name").check(dns1123_label);
            errors.extend(validate_exact(alternative));
            errors
        })),
    }
    errors
}

fn validate_exact(request: &At) -> ErrorList {
    let mut errors = required_name(&request.child("deviceClassName"), dns1123_subdomain);
    errors.extend(validate_selectors(&request.child("selectors")));
    errors.extend(validate_count(request));
    errors.extend(request.child("tolerations").items().iter().flat_map(validate_toleration));
    errors
}

fn validate_count(request: &At) -> Option<Error> {
    let (mode, count) = (request.child("allocationMode"), request.child("count"));
    let number = count.int().unwrap_or(0);
    let text = match mode.text() {
        "All" if number != 0 => "must not be specified when allocationMode is 'All'",
        "ExactCount" if number <= 0 => NOT_POSITIVE,
        "All" | "ExactCount" => return None,
        _ => return Some(mode.not_supported(&["All", "ExactCount"])),
    };
    Some(Error::invalid(&count.path, number, text))
}

pub fn validate_selectors(selectors: &At) -> ErrorList {
    validate_list(selectors, SELECTORS_MAX, |selector| validate_selector(&selector.child("cel")).into_iter().collect())
}

fn validate_selector(cel: &At) -> Option<Error> {
    let expression = cel.child("expression");
    match expression.text().len() {
        _ if !cel.is_set() => Some(cel.required("")),
        ..=EXPRESSION_MAX => validate_expression(&expression),
        _ => Some(Error::too_long(&expression.path, EXPRESSION_MAX)),
    }
}

fn validate_toleration(toleration: &At) -> ErrorList {
    let [key, operator, value] = ["key", "operator", "value"].map(|field| toleration.child(field));
    let mut errors = if key.is_empty() { ErrorList::new() } else { validate_label_name(key.text(), &key.path) };
    match operator.text() {
        "Exists" => {
            errors.extend((!value.is_empty()).then(|| value.invalid("must be empty for operator `Exists`")));
        }
        "Equal" => errors.extend(value.check(label_value)),
        "" => errors.push(operator.required("")),
        _ => errors.push(operator.not_supported(&["Equal", "Exists"])),
    }
    errors.extend(one_of(&toleration.child("effect"), EFFECTS));
    errors
}

fn validate_constraint(constraint: &At, names: &Names) -> ErrorList {
    let attribute = constraint.child("matchAttribute");
    let mut errors = validate_references(&constraint.child("requests"), names);
    match attribute.is_set() {
        true => errors.extend(validate_fully_qualified(&attribute)),
        false => errors.push(attribute.required("")),
    }
    errors
}

pub fn validate_references(references: &At, names: &Names) -> ErrorList {
    let key = |reference: &At| reference.text().to_owned();
    validate_set(references, REQUESTS_MAX, key, |reference| validate_reference(reference, names))
}

pub fn validate_reference(reference: &At, names: &Names) -> ErrorList {
    let parts: Vec<&str> = reference.text().split('/').collect();
    let known = match parts[..] {
        [request] => names.contains_key(request),
        [request, alternative] => names.get(request).is_some_and(|names| names.contains(alternative)),
        _ => return vec![reference.invalid(NO_REQUEST)],
    };
    let faults = parts.iter().flat_map(|part| dns1123_label(part).into_iter().map(move |fault| (*part, fault)));
    let mut errors: ErrorList = faults.map(|(part, fault)| Error::invalid(&reference.path, part, fault)).collect();
    errors.extend((!known).then(|| reference.invalid(NO_REQUEST)));
    errors
}

/// What a driver is told, as it alone understands it.
pub fn validate_config(config: &At) -> ErrorList {
    let opaque = config.child("opaque");
    if !opaque.is_set() {
        return vec![opaque.required("")];
    }
    let mut errors = validate_driver_name(&opaque.child("driver"));
    errors.extend(validate_parameters(&opaque.child("parameters")));
    errors
}

/// Something that is kept for others, who alone understand it.
pub fn validate_parameters(parameters: &At) -> Option<Error> {
    match parameters.value {
        Value::Null => Some(parameters.required("")),
        value if value.to_string().len() > PARAMETERS_MAX => Some(Error::too_long(&parameters.path, PARAMETERS_MAX)),
        Value::Object(_) => None,
        _ => Some(Error::invalid(&parameters.path, "<value omitted>", "must be a valid JSON object")),
    }
}

/// A class of devices.
pub fn validate_class(spec: &At) -> ErrorList {
    let extended = spec.child("extendedResourceName");
    let mut errors = validate_selectors(&spec.child("selectors"));
    errors.extend(validate_list(&spec.child("config"), CONFIGS_MAX, validate_config));
    if extended.is_set() && !crate::core::resource_names::is_extended(extended.text()) {
        errors.push(extended.invalid("must be a valid extended resource name"));
    }
    errors
}
