//! What an object says about itself, held against the path it was sent to and against what is stored.

use kinds::KindDef;
use machinery::field::{Error, Path};
use machinery::strconv::parse_uint;
use machinery::{ApiError, GroupVersionKind, Object, Reason, apply};
use serde_json::Value;

use crate::convert::set_type;
use crate::request::Target;

/// Random characters behind `generateName`.
const SUFFIX: usize = 5;
/// Characters of `generateName` that are used.
const PREFIX_MAX: usize = 63 - SUFFIX;

pub const MANAGED_FIELDS: &[&str] = &["metadata", "managedFields"];
const DELETION: &[&str] = &["deletionTimestamp", "deletionGracePeriodSeconds"];

/// Fills in `apiVersion` and `kind`, or refuses others.
pub fn check_type(kind: &KindDef, object: &mut Object) -> Result<(), ApiError> {
    let expected = kind.group_version().to_string();
    let (found, of_kind) = (object.api_version(), object.kind());
    if !found.is_empty() && found != expected {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version ({expected})"
        )));
    }
    if !of_kind.is_empty() && of_kind != kind.kind {
        return Err(ApiError::bad_request(format!(
            "{of_kind} in version {:?} cannot be handled as a {}: the kinds do not match",
            kind.version, kind.kind
        )));
    }
    set_type(kind, object);
    Ok(())
}

/// Puts the object into the path's namespace, or refuses another.
pub fn check_namespace(kind: &KindDef, namespace: &str, object: &mut Object) -> Result<(), ApiError> {
    if !kind.namespaced() {
        object.remove(&["metadata", "namespace"]);
        return Ok(());
    }
    match object.namespace() {
        "" => object.set(&["metadata", "namespace"], namespace),
        of if of == namespace => {}
        _ => {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    Ok(())
}

pub fn check_name(name: &str, object: &Object) -> Result<(), ApiError> {
    match object.name() {
        of if of == name => Ok(()),
        "" => Err(ApiError::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ))),
        of => Err(ApiError::bad_request(format!(
            "the name of the object ({of}) does not match the name on the URL ({name})"
        ))),
    }
}

/// Takes out what only the server sets; nobody gets to own it.
pub fn wipe(object: &mut Object) {
    for field in ["selfLink", "uid", "creationTimestamp", "generation"].iter().chain(DELETION) {
        object.remove(&["metadata", field]);
    }
}

/// A new object has no revision. As upstream's storage does, this looks when everybody else has agreed.
pub fn check_unwritten(object: &Object) -> Result<(), ApiError> {
    if object.resource_version().is_empty() {
        return Ok(());
    }
    let message = "resourceVersion should not be set on objects to be created";
    Err(ApiError::new(Reason::InternalError, message))
}

/// Gives a new object what the server decides: uid and time of birth.
pub fn begin(kind: &KindDef, object: &mut Object) {
    if object.resource_version().is_empty() {
        object.remove(&["metadata", "resourceVersion"]);
    }
    object.set(&["metadata", "uid"], clock::uuid());
    object.set(&["metadata", "creationTimestamp"], clock::format_time(clock::now_seconds()));
    if kind.strategy.generation {
        object.set(&["metadata", "generation"], 1);
    }
}

/// A name made from `generateName`, when the object has that and no name.
pub fn generated_name(object: &Object) -> Option<String> {
    let prefix = object.str(&["metadata", "generateName"]);
    if prefix.is_empty() || !object.name().is_empty() {
        return None;
    }
    let cut = prefix.char_indices().nth(PREFIX_MAX).map_or(prefix, |(at, _)| &prefix[..at]);
    Some(format!("{cut}{}", clock::name_suffix(SUFFIX)))
}

/// Refuses to put what names another object into the place of `key`, where the object with the uid `is` lies; none if that is empty.
pub fn check_uid(kind: &KindDef, key: &str, name: &str, sent: &Object, is: &str) -> Result<(), ApiError> {
    let uid = sent.uid();
    if uid.is_empty() || uid == is {
        return Ok(());
    }
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
         UID in precondition: {uid}, UID in object meta: {is}"
    );
    Err(ApiError::conflict(&kind.group_resource(), name, why))
}

/// A version of 0 is none, and what is no number is told before anything else.
pub fn settle_version(object: &mut Object) -> Result<(), ApiError> {
    match object.resource_version() {
        "" => return Ok(()),
        "0" => {}
        other => return parse_uint(other).map(drop).map_err(|why| ApiError::new(Reason::Unknown, why)),
    }
    object.remove(&["metadata", "resourceVersion"]);
    Ok(())
}

/// Refuses an update that was made from another version of the object, or would make it another object.
///
/// Validation would say the latter too, but not before things are reserved under the uid.
pub fn check_preconditions(kind: &KindDef, new: &Object, old: &Object) -> Result<(), ApiError> {
    let (version, uid) = (new.resource_version(), new.uid());
    // Where a version must be given, validation says so.
    if !version.is_empty() && version != old.resource_version() {
        return Err(ApiError::stale(&kind.group_resource(), old.name()));
    }
    if !uid.is_empty() && uid != old.uid() {
        let error = Error::invalid(&Path::new("metadata").child("uid"), uid, "field is immutable");
        return Err(ApiError::invalid(&kind.gvk(), old.name(), &[error]));
    }
    Ok(())
}

/// Whether a write that names no version is made all the same.
fn is_unconditional(kind: &KindDef, target: Target) -> bool {
    kind.strategy.unconditional_update || !matches!(target, Target::Main | Target::Status)
}

/// Carries over what an update does not decide.
pub fn inherit(kind: &KindDef, target: Target, new: &mut Object, old: &Object) {
    new.remove(&["metadata", "selfLink"]);
    if new.resource_version().is_empty() && is_unconditional(kind, target) {
        new.set(&["metadata", "resourceVersion"], old.resource_version());
    }
    for field in ["uid", "creationTimestamp"].iter().chain(DELETION) {
        if new.get(&["metadata", field]).is_none_or(empty) {
            copy(new, old, field);
        }
    }
    copy(new, old, "generation");
    if target == Target::Status {
        copy(new, old, "ownerReferences");
    }
}

/// What may not be written over unseen says which version it is of. Upstream names the resource as the kind.
pub fn check_version(kind: &KindDef, new: &Object) -> Result<(), ApiError> {
    if !new.resource_version().is_empty() {
        return Ok(());
    }
    let path = Path::new("metadata").child("resourceVersion");
    let error = Error::invalid(&path, 0, "must be specified for an update");
    let gvk = GroupVersionKind::new(kind.group, kind.version, kind.resource);
    Err(ApiError::invalid(&gvk, new.name(), &[error]))
}

/// Makes the fields at `paths` what they are in the old object; of all metadata only the managers are the new ones.
pub fn keep(new: &mut Object, old: &Object, paths: &[kinds::FieldPath]) {
    let own = new.get(MANAGED_FIELDS).cloned();
    for path in paths {
        match old.get(path) {
            Some(value) => new.set(path, value.clone()),
            None => drop(new.remove(path)),
        }
    }
    set_or_remove(new, MANAGED_FIELDS, own);
}

pub fn set_or_remove(object: &mut Object, path: &[&str], value: Option<Value>) {
    match value {
        Some(value) => object.set(path, value),
        None => drop(object.remove(path)),
    }
}

/// Puts back the times of the managers where nothing but these would be written.
pub fn forget_times(new: &mut Object, old: &Object) {
    let (Some(now), Some(before)) = (new.get(MANAGED_FIELDS), old.get(MANAGED_FIELDS)) else { return };
    if now == before || !apply::same_but_times(now, before) {
        return;
    }
    let now = now.clone();
    new.set(MANAGED_FIELDS, before.clone());
    if new != old {
        new.set(MANAGED_FIELDS, now);
    }
}

fn empty(value: &Value) -> bool {
    value.is_null() || value == ""
}

fn copy(new: &mut Object, old: &Object, field: &str) {
    match old.get(&["metadata", field]) {
        Some(value) => new.set(&["metadata", field], value.clone()),
        None => {
            new.remove(&["metadata", field]);
        }
    }
}

/// Counts a change of what is asked for: of everything but metadata and status.
pub fn count_generation(kind: &KindDef, target: Target, new: &mut Object, old: &Object) {
    let counts = match target {
        Target::Main | Target::Scale => true,
        Target::Status => false,
        Target::Other(name) => kind.is_whole(name),
    };
    if kind.strategy.generation && counts && !same(new, old, !kind.status_counts()) {
        new.set(&["metadata", "generation"], old.generation() + 1);
    }
}

/// Whether all is the same but metadata, and status where `but_status` says so.
fn same(new: &Object, old: &Object, but_status: bool) -> bool {
    let counts = |field: &str| field != "metadata" && !(but_status && field == "status");
    let rest = |object: &'_ Object| object.0.iter().filter(|(field, _)| counts(field)).count();
    rest(new) == rest(old)
        && new.0.iter().filter(|(field, _)| counts(field)).all(|(field, value)| old.0.get(field) == Some(value))
}
