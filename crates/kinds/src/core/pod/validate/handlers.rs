//! Probes and lifecycle hooks.

use machinery::field::{Error, ErrorList};
use machinery::validation::{http_header_name, port_number};

use crate::check::{At, non_negative, one_of, port_or_name, required};

const PROBE_NUMBERS: [&str; 5] =
    ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
const PROBE_HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
const HOOK_HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];
const SCHEMES: &[&str] = &["HTTP", "HTTPS"];

pub fn validate_probes(container: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.child(name);
        if probe.is_set() {
            errors.extend(validate_probe(&probe));
            errors.extend(validate_purpose(name, &probe));
        }
    }
    errors
}

fn validate_probe(probe: &At) -> ErrorList {
    let mut errors = validate_handler(probe, &PROBE_HANDLERS, 0);
    errors.extend(PROBE_NUMBERS.iter().filter_map(|field| non_negative(&probe.child(field))));
    let grace = probe.child("terminationGracePeriodSeconds");
    if grace.int().is_some_and(|seconds| seconds <= 0) {
        errors.push(grace.invalid("must be greater than 0"));
    }
    errors
}

/// Only readiness may need several successes, and only the others stop a container.
fn validate_purpose(name: &str, probe: &At) -> ErrorList {
    let (grace, successes) = (probe.child("terminationGracePeriodSeconds"), probe.child("successThreshold"));
    match name {
        "readinessProbe" if grace.is_set() => vec![grace.invalid("must not be set for readinessProbes")],
        "livenessProbe" | "startupProbe" if successes.int() != Some(1) => vec![successes.invalid("must be 1")],
        _ => ErrorList::new(),
    }
}

pub fn validate_lifecycle(lifecycle: &At, grace: i64) -> ErrorList {
    let hooks = lifecycle.set_children(&["postStart", "preStop"]);
    let mut errors: ErrorList = hooks.iter().flat_map(|hook| validate_handler(hook, &HOOK_HANDLERS, grace)).collect();
    let signal = lifecycle.child("stopSignal");
    if !signal.is_empty() && !signal.text().starts_with("SIG") {
        errors.push(signal.invalid("must be a valid signal name"));
    }
    errors
}

fn validate_handler(handler: &At, kinds: &[&str], grace: i64) -> ErrorList {
    let set = handler.set_children(kinds);
    let Some((first, others)) = set.split_first() else {
        return vec![handler.required("must specify a handler type")];
    };
    let mut errors = match first.name().as_str() {
        "exec" => required(&first.child("command")).into_iter().collect(),
        "httpGet" => validate_http_get(first),
        "tcpSocket" => port_or_name(&first.child("port")),
        "grpc" => first.child("port").messages(port_number(first.child("port").int().unwrap_or(0))),
        _ => validate_sleep(first, grace),
    };
    errors.extend(others.iter().map(|at| at.forbidden("may not specify more than 1 handler type")));
    errors
}

fn validate_http_get(get: &At) -> ErrorList {
    let mut errors: ErrorList = required(&get.child("path")).into_iter().collect();
    errors.extend(port_or_name(&get.child("port")));
    errors.extend(one_of(&get.child("scheme"), SCHEMES));
    let headers = get.child("httpHeaders");
    for header in headers.items() {
        let name = header.child("name").text();
        errors.extend(http_header_name(name).into_iter().map(|text| Error::invalid(&headers.path, name, text)));
    }
    errors
}

fn validate_sleep(sleep: &At, grace: i64) -> ErrorList {
    let seconds = sleep.child("seconds").int().unwrap_or(0);
    if (0..=grace).contains(&seconds) {
        return ErrorList::new();
    }
    let text = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
    vec![Error::invalid(&sleep.path, seconds, text)]
}
