//! A configuration laid over an object that nobody is to own: what policies add to objects.
//!
//! upstream: apiserver/pkg/admission/plugin/policy/mutating/patch/smd.go

use serde_json::{Map, Value};

use super::check::{Duplicates, check};
use super::form::{Form, Told};
use super::merge::merge;

type Tree = Map<String, Value>;

/// `object` with what `config` says. What only merges as a whole can not be said: the rest of it would be lost. The
/// error is upstream's text.
pub fn overlay(object: &Tree, config: &Tree, form: Form) -> Result<Tree, String> {
    check(config, form, Duplicates::Refused)
        .map_err(|why| format!("failed to convert patch object to typed object: {why}"))?;
    let mut atomics = Vec::new();
    below(config, form, "", &mut atomics);
    if !atomics.is_empty() {
        let atomics = atomics.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {atomics}"));
    }
    Ok(merge(object, config, form))
}

/// Finds the paths of what merges as a whole.
fn below(entries: &Tree, form: Form, path: &str, atomics: &mut Vec<String>) {
    for (name, value) in entries {
        if let Some(form) = form.entry(name) {
            find(value, form, &format!("{path}.{name}"), atomics);
        }
    }
}

fn find(value: &Value, form: Form, path: &str, atomics: &mut Vec<String>) {
    match (form, value) {
        (Form::Struct { atomic, .. } | Form::Map { atomic, .. }, Value::Object(entries)) => {
            atomics.extend(atomic.then(|| path.to_owned()));
            below(entries, form, path, atomics);
        }
        (Form::List { told, .. }, Value::Array(items)) => {
            atomics.extend((told == Told::Not).then(|| path.to_owned()));
            for (index, item) in items.iter().enumerate() {
                find(item, form.item(), &format!("{path}[{index}]"), atomics);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POD: &str = "io.k8s.api.core.v1.Pod";

    fn laid(object: Value, config: Value) -> Result<Value, String> {
        let tree = |value: Value| value.as_object().cloned().unwrap_or_default();
        let form = Form::of_message(schema::message(POD).expect("it is in the table"));
        overlay(&tree(object), &tree(config), form).map(Value::Object)
    }

    #[test]
    fn items_merge_by_their_keys_and_wholes_are_refused() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "i"}]}});
        let sidecar = json!({"spec": {"containers": [{"name": "b", "image": "j"}]}});
        let both = json!({"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}});
        assert_eq!(laid(pod.clone(), sidecar), Ok(both));
        let command = json!({"spec": {"containers": [{"name": "a", "command": ["x"]}]}});
        let refused =
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.containers[0].command";
        assert_eq!(laid(pod.clone(), command), Err(refused.to_owned()));
        let error = laid(pod, json!({"spec": {"none": 1}})).unwrap_err();
        assert!(error.starts_with("failed to convert patch object to typed object: "), "{error}");
    }
}
