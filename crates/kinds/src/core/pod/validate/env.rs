//! Environment variables.

use machinery::field::{Error, ErrorList};
use machinery::validation::{config_map_key, dns1123_subdomain, env_var_name, qualified_name};

use crate::check::{At, optional_name, quantity, required, required_name, shown_quantity};

pub const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that a reference can be read as, even where it may not name them.
const POD_FIELDS: [&str; 6] = [
    "metadata.annotations",
    "metadata.labels",
    "spec.host",
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// By what the number of a resource may be divided.
const DIVISORS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
const HUGE_PAGES: [&str; 2] = ["limits.hugepages-", "requests.hugepages-"];
const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

pub fn validate_env(variables: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for variable in variables.items() {
        errors.extend(required_name(&variable.child("name"), env_var_name));
        errors.extend(validate_source(&variable));
    }
    errors
}

fn validate_source(variable: &At) -> ErrorList {
    let source = variable.child("valueFrom");
    if !source.is_set() {
        return ErrorList::new();
    }
    let mut errors = ErrorList::new();
    if source.child("fieldRef").is_set() {
        errors.extend(validate_field_ref(&source.child("fieldRef"), ENV_FIELDS));
    }
    if source.child("resourceFieldRef").is_set() {
        errors.extend(validate_resource_ref(&source.child("resourceFieldRef"), false));
    }
    for reference in source.set_children(&["configMapKeyRef", "secretKeyRef"]) {
        errors.extend(validate_key_ref(&reference));
    }
    for reference in source.set_children(&["fileKeyRef"]) {
        errors.extend(["volumeName", "path", "key"].iter().filter_map(|field| required(&reference.child(field))));
    }
    let count = source.set_children(&SOURCES).len();
    if count == 0 {
        let text =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(source.invalid_empty(text));
    } else if !variable.child("value").is_empty() {
        errors.push(source.invalid_empty("may not be specified when `value` is not empty"));
    } else if count > 1 {
        errors.push(source.invalid_empty("may not have more than one field specified at a time"));
    }
    errors
}

fn validate_key_ref(reference: &At) -> ErrorList {
    let mut errors = reference.child("name").check(dns1123_subdomain);
    errors.extend(required_name(&reference.child("key"), config_map_key));
    errors
}

/// A field of the pod: one of `supported`, or one of its labels or annotations.
pub fn validate_field_ref(reference: &At, supported: &[&str]) -> ErrorList {
    let (version, path) = (reference.child("apiVersion"), reference.child("fieldPath"));
    if version.is_empty() {
        return vec![version.required("")];
    }
    if path.is_empty() {
        return vec![path.required("")];
    }
    if let Some((field, key)) = subscript(path.text()) {
        return validate_subscript(reference, field, key);
    }
    if supported.contains(&path.text()) {
        return ErrorList::new();
    }
    if ENV_FIELDS.contains(&path.text()) || POD_FIELDS.contains(&path.text()) {
        return vec![path.not_supported(supported)];
    }
    vec![path.invalid(format!("error converting fieldPath: field label not supported: {}", path.text()))]
}

/// `metadata.labels['key']` as field and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (field, rest) = path.split_once("['")?;
    Some((field, rest.strip_suffix("']")?))
}

fn validate_subscript(reference: &At, field: &str, key: &str) -> ErrorList {
    let path = reference.child("fieldPath");
    let named = |key: &str| {
        let invalid = |text| Error::invalid(&reference.path, key, text);
        qualified_name(key).into_iter().map(invalid).collect()
    };
    match field {
        "metadata.annotations" => named(&key.to_lowercase()),
        "metadata.labels" => named(key),
        _ => {
            let text = format!("error converting fieldPath: field label does not support subscript: {}", path.text());
            vec![path.invalid(text)]
        }
    }
}

/// A resource of a container; in a volume it must say of which.
pub fn validate_resource_ref(reference: &At, in_volume: bool) -> ErrorList {
    let resource = reference.child("resource");
    let known = RESOURCES.contains(&resource.text()) || is_huge_page(resource.text());
    let mut errors = match () {
        () if in_volume && reference.child("containerName").is_empty() => {
            vec![reference.child("containerName").required("")]
        }
        () if resource.is_empty() => vec![resource.required("")],
        () if known => ErrorList::new(),
        () => vec![resource.not_supported(RESOURCES)],
    };
    errors.extend(validate_divisor(resource.text(), &reference.child("divisor")));
    errors
}

fn is_huge_page(resource: &str) -> bool {
    HUGE_PAGES.iter().any(|prefix| resource.starts_with(prefix))
}

fn validate_divisor(resource: &str, divisor: &At) -> Option<Error> {
    let shown = quantity(divisor).filter(|divisor| !divisor.is_zero()).map(|_| shown_quantity(divisor))?;
    let of = match resource.split_once('.').map(|(_, of)| of) {
        Some("cpu") => {
            let text = "only divisor's values 1m and 1 are supported with the cpu resource";
            let known = matches!(shown.as_str(), "1m" | "1");
            return (!known).then(|| Error::invalid(&divisor.path, resource, text));
        }
        Some("memory") => "memory",
        Some("ephemeral-storage") => "local ephemeral storage",
        _ if is_huge_page(resource) => "hugepages",
        _ => return None,
    };
    let text = format!("only divisor's values {} are supported with the {of} resource", DIVISORS.join(", "));
    (!DIVISORS.contains(&shown.as_str())).then(|| Error::invalid(&divisor.path, resource, text))
}

pub fn validate_env_from(sources: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for source in sources.items() {
        errors.extend(optional_name(&source.child("prefix"), env_var_name));
        let references = source.set_children(&["configMapRef", "secretRef"]);
        for reference in &references {
            errors.extend(required(&reference.child("name")));
            errors.extend(optional_name(&reference.child("name"), dns1123_subdomain));
        }
        match references.len() {
            0 => errors.push(sources.invalid_empty("must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(sources.invalid_empty("may not have more than one field specified at a time")),
        }
    }
    errors
}
