//! Objects seen as `autoscaling/v1` Scale.

use kinds::{KindDef, ScalePaths, Subresource};
use machinery::field::{Error, Path};
use machinery::selector::LabelSelector;
use machinery::{ApiError, GroupResource, GroupVersionKind, Object};
use serde_json::{Value, json};

use crate::write::meta::check_name;

/// Where the kind keeps its replicas.
pub fn paths(kind: &KindDef) -> Result<ScalePaths, ApiError> {
    match kind.subresource("scale") {
        Some(Subresource::Scale(paths)) => Ok(*paths),
        _ => Err(ApiError::no_such_path()),
    }
}

/// The Scale of an object.
pub fn of(paths: &ScalePaths, object: &Object) -> Object {
    let mut scale = Object::default();
    scale.set(&["apiVersion"], "autoscaling/v1");
    scale.set(&["kind"], "Scale");
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.get(&["metadata", field]) {
            scale.set(&["metadata", field], value.clone());
        }
    }
    scale.map_mut(&["spec"]);
    if let Some(replicas) = object.int(paths.spec_replicas).filter(|replicas| *replicas != 0) {
        scale.set(&["spec", "replicas"], replicas);
    }
    scale.set(&["status", "replicas"], object.int(paths.status_replicas).unwrap_or(0));
    let selector = match object.get(paths.selector) {
        Some(Value::String(text)) => Some(text.clone()),
        other => other.and_then(selector).map(|selector| selector.to_string()),
    };
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        scale.set(&["status", "selector"], selector);
    }
    scale
}

/// A LabelSelector object or a plain map of labels; custom resources have it as text.
fn selector(value: &Value) -> Option<LabelSelector> {
    let is_selector = value.get("matchLabels").is_some_and(Value::is_object) || value.get("matchExpressions").is_some();
    if is_selector {
        return LabelSelector::from_object(value).ok();
    }
    LabelSelector::from_object(&json!({"matchLabels": value})).ok()
}

/// Checks a Scale that was sent for an object.
pub fn check(scale: &mut Object, namespace: &str, name: &str) -> Result<(), ApiError> {
    match (scale.api_version(), scale.kind()) {
        ("" | "autoscaling/v1", "" | "Scale") => {}
        ("" | "autoscaling/v1", kind) => {
            return Err(ApiError::bad_request(format!(
                "{kind} in version \"v1\" cannot be handled as a Scale: the kinds do not match"
            )));
        }
        (version, _) => {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version (autoscaling/v1)"
            )));
        }
    }
    if !["", namespace].contains(&scale.namespace()) {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    check_name(name, scale)?;
    let replicas = replicas(scale);
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let error = Error::invalid(&path, replicas, "must be greater than or equal to 0");
        let kind = GroupVersionKind::new("autoscaling", "v1", "Scale");
        return Err(ApiError::invalid(&kind, name, &[error]));
    }
    Ok(())
}

/// The object with the replicas that the Scale asks for, and under the conditions that it names.
pub fn apply(kind: &KindDef, paths: &ScalePaths, scale: &Object, old: &Object) -> Result<Object, ApiError> {
    let (uid, is) = (scale.uid(), old.uid());
    if !uid.is_empty() && uid != is {
        let resource = GroupResource::new(kind.group, format!("{}/scale", kind.resource));
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {is}");
        return Err(ApiError::conflict(&resource, old.name(), why));
    }
    let mut new = old.clone();
    new.set(paths.spec_replicas, replicas(scale));
    new.set(&["metadata", "resourceVersion"], scale.resource_version());
    Ok(new)
}

/// How many replicas a Scale asks for.
pub fn replicas(scale: &Object) -> i64 {
    scale.int(&["spec", "replicas"]).unwrap_or(0)
}
