//! Validation of Ingresses.
//!
//! upstream: pkg/apis/networking/validation

use std::net::IpAddr;

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1035_label, dns1123_subdomain, port_name, port_number, wildcard_dns1123_subdomain};

use crate::check::{At, optional_name, required, required_name};

const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const FORBIDDEN_IN_PATH: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const FORBIDDEN_AT_END: [&str; 2] = ["/..", "/."];

pub fn validate(ingress: &Object) -> ErrorList {
    let spec = At::field(ingress, "spec");
    let (rules, default) = (spec.child("rules"), spec.child("defaultBackend"));
    let mut errors = ErrorList::new();
    if rules.is_empty() && !default.is_set() {
        errors.push(spec.invalid("either `defaultBackend` or `rules` must be specified"));
    }
    if default.is_set() {
        errors.extend(validate_backend(&default));
    }
    for rule in rules.items() {
        errors.extend(validate_host(&rule.child("host")));
        errors.extend(validate_paths(&rule));
    }
    for host in spec.child("tls").items().iter().flat_map(|tls| tls.child("hosts").items()) {
        errors.extend(validate_name(&host));
    }
    errors.extend(optional_name(&spec.child("ingressClassName"), dns1123_subdomain));
    errors
}

fn validate_host(host: &At) -> ErrorList {
    if host.is_empty() {
        return ErrorList::new();
    }
    if host.text().parse::<IpAddr>().is_ok() {
        return vec![host.invalid("must be a DNS name, not an IP address")];
    }
    validate_name(host)
}

fn validate_name(host: &At) -> ErrorList {
    host.check(if host.text().contains('*') { wildcard_dns1123_subdomain } else { dns1123_subdomain })
}

fn validate_paths(rule: &At) -> ErrorList {
    let http = rule.child("http");
    if !http.is_set() {
        return ErrorList::new();
    }
    let paths = http.child("paths");
    if paths.is_empty() {
        return vec![paths.required("")];
    }
    paths.items().iter().flat_map(validate_path).collect()
}

fn validate_path(entry: &At) -> ErrorList {
    let (path, of_type) = (entry.child("path"), entry.child("pathType"));
    let mut errors = match of_type.text() {
        "" => vec![of_type.required("pathType must be specified")],
        "Exact" | "Prefix" => validate_exact(&path),
        "ImplementationSpecific" if path.is_empty() || path.text().starts_with('/') => ErrorList::new(),
        "ImplementationSpecific" => vec![path.invalid("must be an absolute path")],
        _ => vec![of_type.not_supported(PATH_TYPES)],
    };
    errors.extend(validate_backend(&entry.child("backend")));
    errors
}

fn validate_exact(path: &At) -> ErrorList {
    if !path.text().starts_with('/') {
        return vec![path.invalid("must be an absolute path")];
    }
    let inside = FORBIDDEN_IN_PATH.iter().filter(|part| path.text().contains(**part));
    let mut errors: ErrorList = inside.map(|part| path.invalid(format!("must not contain '{part}'"))).collect();
    let end = FORBIDDEN_AT_END.iter().filter(|part| path.text().ends_with(**part));
    errors.extend(end.map(|part| path.invalid(format!("cannot end with '{part}'"))));
    errors
}

fn validate_backend(backend: &At) -> ErrorList {
    let (service, resource) = (backend.child("service"), backend.child("resource"));
    match (service.is_set(), resource.is_set()) {
        (true, true) => vec![Error::invalid(&backend.path, "", "cannot set both resource and service backends")],
        (false, false) => vec![backend.required("resource or service backend is required")],
        (false, true) => ["kind", "name"].iter().filter_map(|field| required(&resource.child(field))).collect(),
        (true, false) => validate_service(&service),
    }
}

fn validate_service(service: &At) -> ErrorList {
    let mut errors = required_name(&service.child("name"), dns1035_label);
    let port = service.child("port");
    let (name, number) = (port.child("name"), port.child("number"));
    match (!name.is_empty(), number.int().is_some_and(|number| number != 0)) {
        (true, true) => {
            errors.push(Error::invalid(&service.path, "", "cannot set both port name & port number"));
        }
        (true, false) => errors.extend(name.check(port_name)),
        (false, true) => errors.extend(number.messages(port_number(number.int().unwrap_or(0)))),
        (false, false) => errors.push(service.required("port name or number is required")),
    }
    errors
}
