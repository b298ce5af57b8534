//! What may change in a pod that exists.

use machinery::Object;
use machinery::field::{Error, ErrorList};
use serde_json::Value;

use super::super::qos::qos_class;
use super::resources::validate_resources;
use crate::check::{At, same};
use crate::tree::str_of;

const CHANGEABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let mut errors = ErrorList::new();
    if spec.value == was.value {
        return errors;
    }
    for list in ["containers", "initContainers"] {
        if spec.child(list).items().len() != was.child(list).items().len() {
            errors.push(spec.child(list).forbidden("pod updates may not add or remove containers"));
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    errors.extend(validate_deadline(&spec, &was));
    errors.extend(only_added_tolerations(&spec.child("tolerations"), &was.child("tolerations")));
    errors.extend(only_removed_gates(&spec, &was));
    let munged = with_changeable_of(&spec, &was);
    if errors.is_empty() && !same(&munged, was.value) {
        let diff = difference(was.value, &munged);
        errors.push(spec.forbidden(format!("{CHANGEABLE}\n{diff}")));
    }
    errors
}

fn validate_deadline(spec: &At, was: &At) -> ErrorList {
    let (new, old) = (spec.child("activeDeadlineSeconds"), was.child("activeDeadlineSeconds").int());
    match (new.int(), old) {
        (Some(new_seconds), Some(old_seconds)) if new_seconds > old_seconds => {
            vec![new.invalid("must be less than or equal to previous value")]
        }
        (None, Some(_)) => vec![new.invalid("must not update from a positive integer to nil value")],
        _ => ErrorList::new(),
    }
}

fn only_added_tolerations(new: &At, old: &At) -> Option<Error> {
    let without_seconds = |at: &At| {
        let mut toleration = at.value.clone();
        toleration.as_object_mut().into_iter().for_each(|map| drop(map.remove("tolerationSeconds")));
        toleration
    };
    let kept: Vec<Value> = new.items().iter().map(without_seconds).collect();
    let all_kept = old.items().iter().map(without_seconds).all(|was| kept.iter().any(|now| same(now, &was)));
    let text = "existing toleration can not be modified except its tolerationSeconds";
    (!all_kept).then(|| new.forbidden(text))
}

fn only_removed_gates(spec: &At, was: &At) -> ErrorList {
    let gates = spec.child("schedulingGates");
    let names: Vec<&str> = was.child("schedulingGates").items().iter().map(|gate| gate.child("name").text()).collect();
    let added = gates.items().into_iter().map(|gate| gate.child("name").text()).filter(|name| !names.contains(name));
    added
        .map(|name| gates.forbidden(format!("only deletion is allowed, but found new scheduling gate '{name}'")))
        .collect()
}

/// The new spec with what may change set back to what it was.
fn with_changeable_of(spec: &At, was: &At) -> Value {
    let mut munged = spec.value.clone();
    for list in ["containers", "initContainers"] {
        for (index, container) in was.child(list).items().iter().enumerate() {
            munged[list][index]["image"] = container.child("image").value.clone();
        }
    }
    let gated = !was.child("schedulingGates").is_empty();
    let mut restored = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    if gated {
        restored.extend(["nodeSelector", "affinity"]);
    }
    let grace = "terminationGracePeriodSeconds";
    if was.child(grace).int().is_some_and(|old| old < 0) && spec.child(grace).int() == Some(1) {
        restored.push(grace);
    }
    for field in restored {
        munged[field] = was.child(field).value.clone();
    }
    munged
}

/// The fields that differ, one a line, for people.
fn difference(old: &Value, new: &Value) -> String {
    let empty = serde_json::Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    let of = |map: &serde_json::Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or_default();
    let lines = keys.filter(|key| !same(&of(old, key), &of(new, key)));
    lines.map(|key| format!("- {key}: {}\n+ {key}: {}\n", of(old, key), of(new, key))).collect()
}

/// A status write may not move the pod, nor bring a container that ended for good back.
pub fn validate_status_update(new: &Object, old: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    let node = At::field(new, "spec").child("nodeName");
    if node.text() != old.str(&["spec", "nodeName"]) {
        errors.push(node.forbidden("may not be changed directly"));
    }
    let status = At::field(new, "status");
    let class = status.child("qosClass");
    if !old.str(&["status", "qosClass"]).is_empty() && class.text() != old.str(&["status", "qosClass"]) {
        errors.push(class.invalid("field is immutable"));
    }
    let policy = old.str(&["spec", "restartPolicy"]);
    errors.extend(validate_transitions(&status.child("containerStatuses"), old, policy));
    errors.extend(validate_addresses(&status.child("podIPs")));
    errors
}

fn validate_transitions(statuses: &At, old: &Object, policy: &str) -> ErrorList {
    if policy == "Always" {
        return ErrorList::new();
    }
    let ended = |status: &Value| status.get("state").and_then(|state| state.get("terminated")).cloned();
    let mut errors = ErrorList::new();
    for was in old.list(&["status", "containerStatuses"]) {
        let Some(end) = ended(was) else { continue };
        let failed = end.get("exitCode").and_then(Value::as_i64).unwrap_or(0) != 0;
        if failed && policy == "OnFailure" {
            continue;
        }
        for now in statuses.items() {
            let same_container = now.child("name").text() == str_of(was, "name");
            if same_container && ended(now.value).is_none() {
                errors.push(now.child("state").forbidden("may not be transitioned to non-terminated state"));
            }
        }
    }
    errors
}

fn validate_addresses(addresses: &At) -> ErrorList {
    let items = addresses.items();
    let mut errors: ErrorList = items.iter().filter_map(|item| super::spec::validate_ip(&item.child("ip"))).collect();
    errors.extend(crate::check::duplicates(&items, "ip"));
    errors
}

/// Ephemeral containers may be added, never changed or removed.
pub fn validate_ephemeral_update(new: &Object, old: &Object) -> ErrorList {
    let containers = At::field(new, "spec").child("ephemeralContainers");
    let items = containers.items();
    let mut errors = super::validate(new);
    for was in At::field(old, "spec").child("ephemeralContainers").items() {
        let name = was.child("name").text();
        match items.iter().find(|now| now.child("name").text() == name) {
            None => errors
                .push(containers.forbidden(format!("existing ephemeral containers {name:?} may not be removed\n"))),
            Some(now) if !same(now.value, was.value) => {
                let diff = difference(was.value, now.value);
                errors.push(
                    containers.forbidden(format!("existing ephemeral containers {name:?} may not be changed\n{diff}")),
                );
            }
            Some(_) => {}
        }
    }
    errors
}

/// A resize changes cpu and memory, and not the class of service.
pub fn validate_resize(new: &Object, old: &Object) -> ErrorList {
    let spec = At::field(new, "spec");
    let mut errors = ErrorList::new();
    if qos_class(new) != old.str(&["status", "qosClass"]) {
        errors.push(Error::invalid(
            &machinery::field::Path::new("metadata"),
            new.name(),
            "Pod QOS Class may not change as a result of resizing",
        ));
    }
    for list in ["containers", "initContainers"] {
        let was = At::field(old, "spec").child(list).items();
        for (now, was) in spec.child(list).items().iter().zip(&was) {
            errors.extend(validate_resources(&now.child("resources")));
            if !same(&without_resizable(now), &without_resizable(was)) {
                errors.push(now.child("resources").forbidden("only cpu and memory resources are mutable"));
            }
        }
    }
    errors
}

fn without_resizable(container: &At) -> Value {
    let mut resources = container.child("resources").value.clone();
    for part in ["limits", "requests"] {
        if let Some(amounts) = resources.get_mut(part).and_then(Value::as_object_mut) {
            amounts.retain(|name, _| !matches!(name.as_str(), "cpu" | "memory"));
        }
    }
    resources
}
