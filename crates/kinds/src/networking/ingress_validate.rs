//! Validation of Ingresses.
//!
//! upstream: pkg/apis/networking/validation

use std::net::IpAddr;

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{dns1035_label, dns1123_subdomain, port_name, port_number, wildcard_dns1123_subdomain};

use crate::check::{At, optional_name, required_name, typed_reference, validate_ip};

const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const FORBIDDEN_IN_PATH: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const FORBIDDEN_AT_END: [&str; 2] = ["/..", "/."];
const CLASS: &str = "kubernetes.io/ingress.class";

pub fn validate(ingress: &Object) -> ErrorList {
    let spec = At::field(ingress, "spec");
    let (rules, default) = (spec.child("rules"), spec.child("defaultBackend"));
    let mut errors = ErrorList::new();
    if rules.is_empty() && !default.is_set() {
        let text = "either `defaultBackend` or `rules` must be specified";
        errors.push(Error::invalid(&spec.path, rules.value.clone(), text));
    }
    if default.is_set() {
        errors.extend(validate_backend(&default));
    }
    for rule in rules.items() {
        errors.extend(validate_host(&rule.child("host")));
        errors.extend(validate_paths(&rule));
    }
    for tls in spec.child("tls").items() {
        errors.extend(tls.child("hosts").items().iter().flat_map(validate_name));
        errors.extend(optional_name(&tls.child("secretName"), dns1123_subdomain));
    }
    errors.extend(optional_name(&spec.child("ingressClassName"), dns1123_subdomain));
    errors
}

/// The older annotation and the field must agree.
pub fn validate_create(ingress: &Object) -> ErrorList {
    let class = At::field(ingress, "spec").child("ingressClassName");
    let annotation = ingress.annotation(CLASS).filter(|name| class.is_set() && *name != class.text());
    let path = Path::new("annotations").child(CLASS);
    let text = "must match `ingressClassName` when both are specified";
    annotation.map(|name| Error::invalid(&path, name, text)).into_iter().collect()
}

pub fn validate_status_update(ingress: &Object, _: &Object) -> ErrorList {
    let entries = At::field(ingress, "status").child("loadBalancer").child("ingress");
    entries.items().iter().flat_map(validate_entry).collect()
}

fn validate_entry(entry: &At) -> ErrorList {
    let (ip, host) = (entry.child("ip"), entry.child("hostname"));
    let mut errors: ErrorList = validate_ip(&ip).filter(|_| !ip.is_empty()).into_iter().collect();
    errors.extend(optional_name(&host, dns1123_subdomain));
    errors.extend(not_an_address(&host));
    errors
}

pub fn warnings(ingress: &Object) -> Vec<String> {
    let deprecated = ingress.annotation(CLASS).is_some() && ingress.str(&["spec", "ingressClassName"]).is_empty();
    let text = format!("annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead");
    deprecated.then_some(text).into_iter().collect()
}

fn validate_host(host: &At) -> ErrorList {
    let mut errors: ErrorList = not_an_address(host).into_iter().collect();
    errors.extend((!host.is_empty()).then(|| validate_name(host)).into_iter().flatten());
    errors
}

fn not_an_address(host: &At) -> Option<Error> {
    let is_address = host.text().parse::<IpAddr>().is_ok();
    is_address.then(|| host.invalid("must be a DNS name, not an IP address"))
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
        "" => return vec![of_type.required("pathType must be specified")],
        "Exact" | "Prefix" => validate_exact(&path),
        "ImplementationSpecific" if path.is_empty() || path.text().starts_with('/') => ErrorList::new(),
        "ImplementationSpecific" => vec![path.invalid("must be an absolute path")],
        _ => vec![of_type.not_supported(PATH_TYPES)],
    };
    errors.extend(validate_backend(&entry.child("backend")));
    errors
}

fn validate_exact(path: &At) -> ErrorList {
    let relative = !path.text().starts_with('/');
    let mut errors: ErrorList = relative.then(|| path.invalid("must be an absolute path")).into_iter().collect();
    let inside = FORBIDDEN_IN_PATH.iter().filter(|part| path.text().contains(**part));
    errors.extend(inside.map(|part| path.invalid(format!("must not contain '{part}'"))));
    let end = FORBIDDEN_AT_END.iter().filter(|part| path.text().ends_with(**part));
    errors.extend(end.map(|part| path.invalid(format!("cannot end with '{part}'"))));
    errors
}

fn validate_backend(backend: &At) -> ErrorList {
    let (service, resource) = (backend.child("service"), backend.child("resource"));
    match (service.is_set(), resource.is_set()) {
        (true, true) => vec![backend.invalid_empty("cannot set both resource and service backends")],
        (false, false) => vec![backend.invalid_empty("resource or service backend is required")],
        (false, true) => typed_reference(&resource),
        (true, false) => validate_service(backend, &service),
    }
}

fn validate_service(backend: &At, service: &At) -> ErrorList {
    let mut errors = required_name(&service.child("name"), dns1035_label);
    let port = service.child("port");
    let (name, number) = (port.child("name"), port.child("number"));
    match (!name.is_empty(), number.int().is_some_and(|number| number != 0)) {
        (true, true) => errors.push(backend.invalid_empty("cannot set both port name & port number")),
        (true, false) => errors.extend(name.check(port_name)),
        (false, true) => errors.extend(number.messages(port_number(number.int().unwrap_or(0)))),
        (false, false) => errors.push(backend.required("port name or number is required")),
    }
    errors
}
