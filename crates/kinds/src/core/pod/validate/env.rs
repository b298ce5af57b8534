//! Environment variables.

use machinery::field::ErrorList;
use machinery::validation::{config_map_key, dns1123_subdomain, env_var_name, qualified_name};

use crate::check::{At, optional_name, required, required_name};

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
/// Old names of fields that a reference may still use.
const RENAMED_FIELDS: [&str; 2] = ["spec.host", "spec.serviceAccount"];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
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
    let count = source.set_children(&SOURCES).len();
    if !variable.child("value").is_empty() {
        if count > 0 {
            errors.push(source.invalid_empty("may not be specified when `value` is not empty"));
        }
    } else if count == 0 {
        let text =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(source.invalid_empty(text));
    } else if count > 1 {
        errors.push(source.invalid_empty("may not have more than one field specified at a time"));
    }
    errors
}

fn validate_key_ref(reference: &At) -> ErrorList {
    let mut errors = reference.child("name").messages(name_messages(reference.child("name").text()));
    errors.extend(required_name(&reference.child("key"), config_map_key));
    errors
}

fn name_messages(name: &str) -> Vec<String> {
    if name.is_empty() { Vec::new() } else { dns1123_subdomain(name) }
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
        return validate_subscript(&path, field, key);
    }
    let known = supported.contains(&path.text()) || RENAMED_FIELDS.contains(&path.text());
    let labels = ["metadata.labels", "metadata.annotations"].contains(&path.text());
    match known {
        true => ErrorList::new(),
        false if is_pod_field(path.text()) || labels => vec![path.not_supported(supported)],
        false => {
            let text = format!("error converting fieldPath: field label not supported: {}", path.text());
            vec![path.invalid(text)]
        }
    }
}

/// Fields a reference can be read as, even where it may not name them.
fn is_pod_field(field: &str) -> bool {
    ENV_FIELDS.contains(&field) || ["spec.restartPolicy", "spec.schedulerName", "status.phase"].contains(&field)
}

/// `metadata.labels['key']` as field and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (field, rest) = path.split_once("['")?;
    Some((field, rest.strip_suffix("']")?))
}

fn validate_subscript(path: &At, field: &str, key: &str) -> ErrorList {
    match field {
        "metadata.annotations" => path.messages(qualified_name(&key.to_lowercase())),
        "metadata.labels" => path.messages(qualified_name(key)),
        _ => vec![machinery::field::Error::invalid(
            &path.path,
            field,
            format!("error converting fieldPath: field label does not support subscript: {}", path.text()),
        )],
    }
}

/// A resource of a container; in a volume it must say of which.
pub fn validate_resource_ref(reference: &At, in_volume: bool) -> ErrorList {
    let resource = reference.child("resource");
    if in_volume && reference.child("containerName").is_empty() {
        return vec![reference.child("containerName").required("")];
    }
    let huge_pages = ["limits.hugepages-", "requests.hugepages-"];
    if resource.is_empty() {
        vec![resource.required("")]
    } else if RESOURCES.contains(&resource.text())
        || huge_pages.iter().any(|prefix| resource.text().starts_with(prefix))
    {
        ErrorList::new()
    } else {
        vec![resource.not_supported(RESOURCES)]
    }
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
            0 => errors.push(source.invalid_empty("must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(source.invalid_empty("may not have more than one field specified at a time")),
        }
    }
    errors
}
