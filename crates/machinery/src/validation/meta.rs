//! `metadata` of any object.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::formats::{dns1123_label, qualified_name};
use super::labels::{validate_annotations, validate_labels};
use super::options::validate_field_manager;
use crate::field::{Error, ErrorList, Path};
use crate::object::Object;

const SUBRESOURCE_MAX: usize = 256;
/// Surplus controllers that are told, each time with the whole list of owners.
const SURPLUS_TOLD: usize = 10;

/// What an update may not change.
const IMMUTABLE: &[&str] =
    &["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// Checks the metadata of an object that is about to be made, its name generated.
///
/// `path` is that of the metadata; `name_check` answers with what is wrong with a name.
pub fn validate_object_meta(
    object: &Object,
    namespaced: bool,
    name_check: fn(&str) -> Vec<String>,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let prefix = object.str(&["metadata", "generateName"]);
    if !prefix.is_empty() {
        errors.extend(invalid(&path.child("generateName"), prefix, name_check(&masked(prefix))));
    }
    match object.name() {
        "" => errors.push(Error::required(&path.child("name"), "name or generateName is required")),
        name => errors.extend(invalid(&path.child("name"), name, name_check(name))),
    }
    errors.extend(validate_namespace(object.namespace(), namespaced, &path.child("namespace")));
    if object.generation() < 0 {
        let message = "must be greater than or equal to 0";
        errors.push(Error::invalid(&path.child("generation"), object.generation(), message));
    }
    errors.extend(validate_common(object, path));
    errors
}

/// Checks the metadata of an update against what is stored.
pub fn validate_object_meta_update(new: &Object, old: &Object, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if old.is_deleting() {
        errors.extend(no_new_finalizers(new, old, &path.child("finalizers")));
    }
    if new.resource_version().is_empty() {
        errors.push(Error::invalid(&path.child("resourceVersion"), "", "must be specified for an update"));
    }
    if new.generation() < old.generation() {
        errors.push(Error::invalid(&path.child("generation"), new.generation(), "must not be decremented"));
    }
    for name in IMMUTABLE {
        errors.extend(immutable(new.get(&["metadata", name]), old.get(&["metadata", name]), &path.child(name)));
    }
    errors.extend(validate_common(new, path));
    errors
}

/// An error unless both are the same; absent, null and empty texts are.
pub fn immutable(new: Option<&Value>, old: Option<&Value>, path: &Path) -> ErrorList {
    let present = |value: Option<&Value>| value.filter(|value| !value.is_null() && *value != "").cloned();
    if present(new) == present(old) {
        return ErrorList::new();
    }
    vec![Error::invalid(path, new.cloned().unwrap_or_default(), "field is immutable")]
}

fn invalid(path: &Path, value: &str, messages: Vec<String>) -> ErrorList {
    messages.into_iter().map(|message| Error::invalid(path, value, message)).collect()
}

/// A name prefix may end in a dash, which the generated part follows.
fn masked(prefix: &str) -> String {
    prefix.strip_suffix('-').map_or_else(|| prefix.to_owned(), |rest| format!("{rest}a"))
}

fn validate_namespace(namespace: &str, namespaced: bool, path: &Path) -> ErrorList {
    match (namespaced, namespace) {
        (true, "") => vec![Error::required(path, "")],
        (true, _) => invalid(path, namespace, dns1123_label(namespace)),
        (false, "") => ErrorList::new(),
        (false, _) => vec![Error::forbidden(path, "not allowed on this type")],
    }
}

fn validate_common(object: &Object, path: &Path) -> ErrorList {
    let mut errors = validate_labels(&object.labels(), &path.child("labels"));
    let annotations = object.strings(&["metadata", "annotations"]);
    errors.extend(validate_annotations(&annotations, &path.child("annotations")));
    let owners = object.list(&["metadata", "ownerReferences"]);
    errors.extend(validate_owners(owners, &path.child("ownerReferences")));
    errors.extend(validate_finalizers(object, &path.child("finalizers")));
    let managed = object.list(&["metadata", "managedFields"]);
    errors.extend(validate_managed_fields(managed, &path.child("managedFields")));
    errors
}

fn validate_owners(owners: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut controller: Option<String> = None;
    let mut surplus = 0;
    for owner in owners.iter().filter_map(Value::as_object) {
        errors.extend(validate_owner(owner, path));
        if owner.get("controller") != Some(&Value::Bool(true)) {
            continue;
        }
        let name = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
        match &controller {
            None => controller = Some(name),
            Some(first) if surplus < SURPLUS_TOLD => {
                surplus += 1;
                let message = "Only one reference can have Controller set to true. Found \"true\" in references for";
                errors.push(Error::invalid(path, json!(owners), format!("{message} {first} and {name}")));
            }
            Some(_) => {}
        }
    }
    errors
}

fn validate_owner(owner: &Map<String, Value>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let version = text(owner, "apiVersion");
    if version.rsplit('/').next().unwrap_or_default().is_empty() {
        errors.push(Error::invalid(&path.child("apiVersion"), version, "version must not be empty"));
    }
    for field in ["kind", "name", "uid"] {
        if text(owner, field).is_empty() {
            errors.push(Error::invalid(&path.child(field), "", "must not be empty"));
        }
    }
    if (version, text(owner, "kind")) == ("v1", "Event") {
        errors.push(Error::invalid(path, json!(owner), "/v1, Kind=Event is disallowed from being an owner"));
    }
    errors
}

fn text<'a>(map: &'a Map<String, Value>, field: &str) -> &'a str {
    map.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn validate_finalizers(object: &Object, path: &Path) -> ErrorList {
    let mut errors: ErrorList =
        object.finalizers().flat_map(|name| invalid(path, name, qualified_name(name))).collect();
    let has = |name: &str| object.finalizers().any(|finalizer| finalizer == name);
    if has("orphan") && has("foregroundDeletion") {
        let all: Vec<&str> = object.finalizers().collect();
        let message = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(Error::invalid(path, json!(all), message));
    }
    errors
}

/// Finalizers without a domain are those that the system itself has given.
pub fn validate_standard_finalizers(object: &Object, path: &Path) -> ErrorList {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    const TEXT: &str = "name is neither a standard finalizer name nor is it fully qualified";
    let named = object.finalizers().enumerate();
    let unknown = named.filter(|(_, name)| !name.contains('/') && !STANDARD.contains(name));
    unknown.map(|(index, name)| Error::invalid(&path.child("finalizers").index(index), name, TEXT)).collect()
}

fn no_new_finalizers(new: &Object, old: &Object, path: &Path) -> ErrorList {
    let known: HashSet<&str> = old.finalizers().collect();
    let mut added: Vec<&str> = new.finalizers().filter(|name| !known.contains(name)).collect();
    if added.is_empty() {
        return ErrorList::new();
    }
    added.sort_unstable();
    let list: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
    let message = "no new finalizers can be added if the object is being deleted, found new finalizers";
    vec![Error::forbidden(path, format!("{message} []string{{{}}}", list.join(", ")))]
}

fn validate_managed_fields(entries: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, entry) in entries.iter().enumerate() {
        let path = path.index(index);
        let text = |field: &str| entry[field].as_str().unwrap_or_default();
        if !["Apply", "Update"].contains(&text("operation")) {
            errors.push(Error::invalid(&path.child("operation"), text("operation"), "must be `Apply` or `Update`"));
        }
        if !["", "FieldsV1"].contains(&text("fieldsType")) {
            errors.push(Error::invalid(&path.child("fieldsType"), text("fieldsType"), "must be `FieldsV1`"));
        }
        errors.extend(validate_field_manager(text("manager"), &path.child("manager")));
        if text("subresource").len() > SUBRESOURCE_MAX {
            errors.push(Error::too_long(&path.child("subresource"), SUBRESOURCE_MAX));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::super::formats::dns1123_subdomain;
    use super::*;

    fn object(metadata: Value) -> Object {
        Object::from_value(json!({"metadata": metadata})).expect("an object")
    }

    fn texts(errors: &[Error]) -> Vec<String> {
        errors.iter().map(Error::to_string).collect()
    }

    fn check(metadata: Value, namespaced: bool) -> Vec<String> {
        texts(&validate_object_meta(&object(metadata), namespaced, dns1123_subdomain, &Path::new("metadata")))
    }

    #[test]
    fn finalizers_without_a_domain_are_the_systems_own() {
        let object = Object::from_value(json!({"metadata": {"finalizers": ["orphan", "mine", "a.b/c"]}})).unwrap();
        let errors = validate_standard_finalizers(&object, &Path::new("metadata"));
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let expected = "metadata.finalizers[1]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it \
                        fully qualified";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn names_and_namespaces() {
        assert_eq!(check(json!({"name": "a", "namespace": "b", "generateName": "a-"}), true), [""; 0]);
        assert_eq!(
            check(json!({}), true),
            ["metadata.name: Required value: name or generateName is required", "metadata.namespace: Required value"]
        );
        assert_eq!(
            check(json!({"name": "a", "namespace": "b"}), false),
            ["metadata.namespace: Forbidden: not allowed on this type"]
        );
    }

    #[test]
    fn owners_and_finalizers() {
        let owner = |kind: &str| json!({"apiVersion": "v1", "kind": kind, "name": "a", "uid": "u", "controller": true});
        let errors = check(json!({"name": "a", "ownerReferences": [owner("Pod"), owner("Node")]}), false);
        assert!(errors[0].ends_with(r#"Found "true" in references for Pod/a and Node/a"#), "{errors:?}");
        let errors = check(json!({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}), false);
        assert!(errors[0].ends_with("finalizer orphan and foregroundDeletion cannot be both set"), "{errors:?}");
    }

    #[test]
    fn updates_keep_identity() {
        let old =
            object(json!({"name": "a", "uid": "1", "generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z"}));
        let new = object(json!({"name": "a", "uid": "2", "generation": 1, "finalizers": ["x.y/z"],
            "deletionTimestamp": "2026-01-01T00:00:00Z"}));
        let errors = texts(&validate_object_meta_update(&new, &old, &Path::new("metadata")));
        assert_eq!(
            errors,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, \
                 found new finalizers []string{\"x.y/z\"}",
                "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
                "metadata.generation: Invalid value: 1: must not be decremented",
                "metadata.uid: Invalid value: \"2\": field is immutable",
            ]
        );
    }
}
