//! Labels, annotations and selectors.

use std::collections::BTreeMap;

use serde_json::Value;

use super::formats::{label_value, qualified_name};
use crate::field::{Error, ErrorList, Path};

/// Bytes of all keys and values together.
const ANNOTATIONS_MAX: usize = 256 * 1024;

pub fn validate_labels(labels: &BTreeMap<String, String>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in labels {
        errors.extend(validate_label_name(key, path));
        errors.extend(label_value(value).into_iter().map(|message| Error::invalid(path, value.as_str(), message)));
    }
    errors
}

pub fn validate_label_name(name: &str, path: &Path) -> ErrorList {
    qualified_name(name).into_iter().map(|message| Error::invalid(path, name, message)).collect()
}

pub fn validate_annotations(annotations: &BTreeMap<String, String>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for key in annotations.keys() {
        let messages = qualified_name(&key.to_lowercase());
        errors.extend(messages.into_iter().map(|message| Error::invalid(path, key.as_str(), message)));
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_MAX {
        errors.push(Error::too_long(path, ANNOTATIONS_MAX));
    }
    errors
}

/// Checks a `metav1.LabelSelector`; null is valid.
pub fn validate_label_selector(selector: &Value, path: &Path) -> ErrorList {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let mut errors = validate_labels(&labels, &path.child("matchLabels"));
    for (index, expression) in selector["matchExpressions"].as_array().into_iter().flatten().enumerate() {
        let at = path.child("matchExpressions").index(index);
        errors.extend(validate_operator(expression, &at, false));
        errors.extend(validate_requirement(expression, &at));
    }
    errors
}

/// Whether what a requirement of labels or fields says of values goes with its operator.
pub fn validate_operator(requirement: &Value, path: &Path, any_operator: bool) -> Option<Error> {
    let operator = requirement["operator"].as_str().unwrap_or_default();
    let has_values = requirement["values"].as_array().is_some_and(|values| !values.is_empty());
    match operator {
        "In" | "NotIn" if !has_values => {
            Some(Error::required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
        }
        "Exists" | "DoesNotExist" if has_values => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            Some(Error::forbidden(&path.child("values"), detail))
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => None,
        _ if any_operator => None,
        _ => Some(Error::invalid(&path.child("operator"), operator, "not a valid selector operator")),
    }
}

/// The key and the values of a requirement of labels.
pub fn validate_requirement(expression: &Value, path: &Path) -> ErrorList {
    let key = expression["key"].as_str().unwrap_or_default();
    let mut errors = validate_label_name(key, &path.child("key"));
    for (index, value) in expression["values"].as_array().into_iter().flatten().enumerate() {
        let value = value.as_str().unwrap_or_default();
        let at = path.child("values").index(index);
        errors.extend(label_value(value).into_iter().map(|message| Error::invalid(&at, value, message)));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_are_checked_as_a_whole() {
        let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["x"]},
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "Exists", "values": ["x"]},
            {"key": "a b", "operator": "Maybe"},
        ]});
        let errors = validate_label_selector(&selector, &Path::new("spec").child("selector"));
        let fields: Vec<String> = errors.iter().map(|error| error.field.to_string()).collect();
        assert_eq!(
            fields,
            [
                "spec.selector.matchExpressions[1].values",
                "spec.selector.matchExpressions[2].values",
                "spec.selector.matchExpressions[3].operator",
                "spec.selector.matchExpressions[3].key",
            ]
        );
        assert!(validate_label_selector(&Value::Null, &Path::root()).is_empty());
    }

    #[test]
    fn annotations_have_a_size() {
        let path = Path::new("metadata").child("annotations");
        let big = BTreeMap::from([("A".to_owned(), "x".repeat(ANNOTATIONS_MAX))]);
        let errors = validate_annotations(&big, &path);
        assert_eq!(errors[0].to_string(), "metadata.annotations: Too long: may not be more than 262144 bytes");
    }
}
