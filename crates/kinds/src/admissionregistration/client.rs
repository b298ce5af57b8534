//! Where a webhook is called: by URL or through a Service.
//!
//! upstream: k8s.io/apiserver/pkg/util/webhook/validation.go

use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_subdomain, port_number};

use crate::check::At;

const FORM: &str = "; desired format: https://host[/path]";

pub fn validate_url(url: &At) -> ErrorList {
    if let Some(why) = unreadable(url.text()) {
        return vec![url.required(&format!("url must be a valid URL: parse {:?}: {why}{FORM}", url.text()))];
    }
    let invalid = |value: &str, text: String| Error::invalid(&url.path, value, text);
    let (rest, fragment) = url.text().split_once('#').unwrap_or((url.text(), ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once(':').unwrap_or(("", rest));
    let authority = rest.strip_prefix("//").unwrap_or_default().split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let mut errors = ErrorList::new();
    if scheme != "https" {
        errors.push(invalid(scheme, format!("'https' is the only allowed URL scheme{FORM}")));
    }
    if host.is_empty() {
        errors.push(invalid(host, format!("host must be specified{FORM}")));
    }
    if let Some(user) = user {
        errors.push(invalid(user, "user information is not permitted in the URL".to_owned()));
    }
    if !fragment.is_empty() {
        errors.push(invalid(fragment, "fragments are not permitted in the URL".to_owned()));
    }
    if !query.is_empty() {
        errors.push(invalid(query, "query parameters are not permitted in the URL".to_owned()));
    }
    errors
}

/// Why a text is no URL at all.
fn unreadable(text: &str) -> Option<&'static str> {
    if text.chars().any(|character| character.is_ascii_control()) {
        return Some("net/url: invalid control character in URL");
    }
    let scheme_end = text.find(|character: char| !character.is_ascii_alphanumeric() && !"+-.".contains(character));
    match scheme_end.map(|end| (end, text.as_bytes()[end])) {
        Some((0, b':')) => Some("missing protocol scheme"),
        Some((end, b':')) if !text.as_bytes()[0].is_ascii_alphabetic() && end > 0 => {
            Some("first path segment in URL cannot contain colon")
        }
        _ => None,
    }
}

pub fn validate_service(service: &At) -> ErrorList {
    let [name, namespace, path, port] = ["name", "namespace", "path", "port"].map(|field| service.child(field));
    let mut errors = ErrorList::new();
    if name.is_empty() {
        errors.push(name.required(""));
    }
    if namespace.is_empty() {
        errors.push(namespace.required(""));
    }
    let faults = port_number(port.int().unwrap_or(0));
    if !faults.is_empty() {
        errors.push(port.invalid(format!("port is not valid: {}", faults.join(", "))));
    }
    errors.extend(validate_path(&path));
    errors
}

fn validate_path(path: &At) -> ErrorList {
    let text = path.text();
    if text.is_empty() || text == "/" {
        return ErrorList::new();
    }
    if text == "//" {
        return vec![path.invalid("segment[0] may not be empty")];
    }
    let relative = !text.starts_with('/');
    let mut errors: ErrorList = relative.then(|| path.invalid("must start with a '/'")).into_iter().collect();
    let steps = text.get(1..).unwrap_or_default();
    for (index, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            errors.push(path.invalid(format!("segment[{index}] may not be empty")));
        } else {
            let faults = dns1123_subdomain(step).into_iter();
            errors.extend(faults.map(|fault| path.invalid(format!("segment[{index}]: {fault}"))));
        }
    }
    errors
}
