//! The annotation in which `kubectl apply` keeps what it applied by itself, before the server did.

use super::compare::compare;
use super::field_set::field_set;
use super::form::Form;
use super::set::Set;
use crate::object::Object;

/// The manager whose annotation is taken over and kept up to date.
pub const KUBECTL: &str = "kubectl";

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Bytes of keys and values that all annotations of an object may have.
const ANNOTATIONS_MAX: usize = 256 * 1024;

fn last_applied(object: &Object) -> Option<&str> {
    object.annotation(ANNOTATION).filter(|text| !text.is_empty())
}

/// The fields that the annotation says kubectl applied and that still are as it applied them; nothing without
/// an annotation for this version.
pub fn still_applied(live: &Object, api_version: &str, form: Form) -> Option<Set> {
    let applied: Object = serde_json::from_str(last_applied(live)?).ok()?;
    if applied.api_version() != api_version {
        return None;
    }
    let comparison = compare(&applied.0, &live.0, form);
    let fields = field_set(&applied.0, form);
    Some(fields.difference(&comparison.written).difference(&comparison.removed))
}

/// Makes the annotation say what was applied, if the object has it; drops it where it would be too large.
pub fn keep_up(object: &mut Object, config: &Object) {
    if last_applied(object).is_none() {
        return;
    }
    let mut applied = config.clone();
    applied.remove(&["metadata", "annotations", ANNOTATION]);
    let text = format!("{}\n", applied.into_value());
    object.set(&["metadata", "annotations", ANNOTATION], text);
    if annotations_size(object) > ANNOTATIONS_MAX {
        object.remove(&["metadata", "annotations", ANNOTATION]);
    }
}

fn annotations_size(object: &Object) -> usize {
    let annotations = object.map(&["metadata", "annotations"]).into_iter().flatten();
    annotations.map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_annotation_is_kept_up_only_where_it_is() {
        let config = Object::from_value(json!({"data": {"a": "2"}})).unwrap();
        let mut object = Object::default();
        keep_up(&mut object, &config);
        assert_eq!(object, Object::default());
        object.set(&["metadata", "annotations", ANNOTATION], "{}");
        keep_up(&mut object, &config);
        assert_eq!(object.annotation(ANNOTATION), Some("{\"data\":{\"a\":\"2\"}}\n"));
        let config = Object::from_value(json!({"data": {"a": Value::from("x".repeat(ANNOTATIONS_MAX))}})).unwrap();
        keep_up(&mut object, &config);
        assert_eq!(object.annotation(ANNOTATION), None);
    }
}
