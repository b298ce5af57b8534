//! What may change in a pod that exists.

use std::collections::{HashMap, HashSet};

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use serde_json::Value;

use super::super::qos::qos_class;
use super::annotations::{MIRROR, validate_annotation_updates};
use crate::check::{At, same};
use crate::tree::str_of;

const CHANGEABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let annotations = |pod| At::field(pod, "metadata").child("annotations");
    let mut errors = validate_annotation_updates(&annotations(new), &annotations(old));
    for list in ["containers", "initContainers"] {
        if spec.child(list).items().len() != was.child(list).items().len() {
            errors.push(spec.child(list).forbidden("pod updates may not add or remove containers"));
            return errors;
        }
    }
    if same(spec.value, was.value) {
        return errors;
    }
    errors.extend(validate_deadline(&spec, &was));
    errors.extend(only_added_tolerations(&spec.child("tolerations"), &was.child("tolerations")));
    errors.extend(only_removed_gates(&spec, &was));
    let gated = !was.child("schedulingGates").is_empty();
    if gated {
        errors.extend(validate_gated_selector(&spec.child("nodeSelector"), &was.child("nodeSelector")));
        errors.extend(validate_gated_affinity(&spec, &was));
    }
    let munged = with_changeable_of(&spec, &was, gated);
    if !same(&munged, was.value) {
        let diff = difference(was.value, &munged);
        errors.push(spec.forbidden(format!("{CHANGEABLE}\n{diff}")));
    }
    errors
}

/// While a pod waits at its gates, its choice of nodes may become narrower.
fn validate_gated_selector(selector: &At, was: &At) -> Option<Error> {
    let kept = was.entries().iter().all(|(label, value)| selector.child(label).text() == value.text());
    let text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
    (!kept).then(|| selector.invalid(text))
}

fn validate_gated_affinity(spec: &At, was: &At) -> ErrorList {
    let (now_at, was_at) = (required_terms(spec), required_terms(was));
    let (now, was) = (now_at.items(), was_at.items());
    if was.is_empty() {
        return ErrorList::new();
    }
    if now.len() != was.len() {
        return vec![now_at.invalid("no additions/deletions to non-empty NodeSelectorTerms list are allowed")];
    }
    let changed = now.iter().zip(&was).filter(|(now, was)| !only_adds(now, was));
    changed.map(|(now, _)| now.invalid("only additions are allowed (no mutations or deletions)")).collect()
}

fn required_terms<'a>(spec: &At<'a>) -> At<'a> {
    let node = spec.child("affinity").child("nodeAffinity");
    node.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms")
}

/// A term that asks for nothing matches nothing, so that adding to it would widen the choice.
fn only_adds(now: &At, was: &At) -> bool {
    const PARTS: [&str; 2] = ["matchExpressions", "matchFields"];
    let empty = |term: &At| PARTS.iter().all(|part| term.child(part).is_empty());
    let kept = |part: &str| {
        let (now, was) = (now.child(part).items(), was.child(part).items());
        now.len() >= was.len() && now.iter().zip(&was).all(|(now, was)| same(now.value, was.value))
    };
    (!empty(was) || empty(now)) && PARTS.iter().all(|part| kept(part))
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
    fn without_seconds<'a>(at: &At<'a>) -> [&'a str; 4] {
        ["key", "operator", "value", "effect"].map(|part| str_of(at.value, part))
    }
    let kept: HashSet<[&str; 4]> = new.items().iter().map(without_seconds).collect();
    let all_kept = old.items().iter().map(without_seconds).all(|was| kept.contains(&was));
    let text = "existing toleration can not be modified except its tolerationSeconds";
    (!all_kept).then(|| new.forbidden(text))
}

fn only_removed_gates(spec: &At, was: &At) -> ErrorList {
    let gates = was.child("schedulingGates").items();
    let before: HashSet<&str> = gates.iter().map(|gate| gate.child("name").text()).collect();
    let names = spec.child("schedulingGates").items().into_iter().map(|gate| gate.child("name"));
    let added = names.filter(|name| !before.contains(name.text()));
    let text = |name: &At| format!("only deletion is allowed, but found new scheduling gate '{}'", name.text());
    added.map(|name| name.forbidden(text(&name))).collect()
}

/// The new spec with what may change set back to what it was.
fn with_changeable_of(spec: &At, was: &At, gated: bool) -> Value {
    let mut munged = spec.value.clone();
    for list in ["containers", "initContainers"] {
        for (index, container) in was.child(list).items().iter().enumerate() {
            munged[list][index]["image"] = container.child("image").value.clone();
        }
    }
    let mut restored = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    restored.extend(gated.then_some("nodeSelector"));
    let grace = "terminationGracePeriodSeconds";
    if was.child(grace).int().is_some_and(|old| old < 0) && spec.child(grace).int() == Some(1) {
        restored.push(grace);
    }
    for field in restored {
        munged[field] = was.child(field).value.clone();
    }
    if gated {
        munged["affinity"]["nodeAffinity"] = was.child("affinity").child("nodeAffinity").value.clone();
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

/// Ephemeral containers may be added, never changed or removed.
pub fn validate_ephemeral_update(new: &Object, old: &Object) -> ErrorList {
    if old.annotation(MIRROR).is_some() {
        return vec![Error::forbidden(&Path::root(), "static pods do not support ephemeral containers")];
    }
    let containers = At::field(new, "spec").child("ephemeralContainers");
    let items = containers.items();
    let by_name: HashMap<&str, &At> = items.iter().rev().map(|now| (str_of(now.value, "name"), now)).collect();
    let mut errors = super::validate(new);
    for was in At::field(old, "spec").child("ephemeralContainers").items() {
        let name = was.child("name").text();
        let what = format!("existing ephemeral containers {name:?} may not be");
        match by_name.get(name) {
            None => errors.push(containers.forbidden(format!("{what} removed\n"))),
            Some(now) if !same(now.value, was.value) => {
                let diff = difference(was.value, now.value);
                errors.push(containers.forbidden(format!("{what} changed\n{diff}")));
            }
            Some(_) => {}
        }
    }
    errors
}

/// A resize changes cpu and memory of containers that go on running, and not the class of service.
pub fn validate_resize(new: &Object, old: &Object) -> ErrorList {
    let refused = match () {
        () if old.annotation(MIRROR).is_some() => Some("static pods cannot be resized"),
        () if old.str(&["spec", "os", "name"]) == "windows" => Some("windows pods cannot be resized"),
        () => None,
    };
    if let Some(text) = refused {
        return vec![Error::forbidden(&Path::root(), text)];
    }
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let mut errors = super::validate(new);
    let before = Some(old.str(&["status", "qosClass"])).filter(|class| !class.is_empty());
    if qos_class(new) != before.unwrap_or_else(|| qos_class(old)) {
        let class = new.str(&["status", "qosClass"]);
        errors.push(Error::invalid(&spec.path, class, "Pod QOS Class may not change as a result of resizing"));
    }
    let running =
        old.list(&["status", "containerStatuses"]).iter().find(|status| status["state"].get("running").is_some());
    if running.is_some_and(|status| status.get("resources").is_none()) {
        errors.push(spec.forbidden("Pod running on node without support for resize"));
    }
    for list in ["initContainers", "containers"] {
        let (now, was) = (spec.child(list), was.child(list));
        if now.items().len() != was.items().len() {
            errors.push(now.forbidden("containers may not be added or removed on resize"));
            return errors;
        }
        for (now, was) in now.items().iter().zip(&was.items()) {
            errors.extend(validate_container_resize(now, was, &spec, list == "initContainers"));
        }
    }
    errors
}

fn validate_container_resize(now: &At, was: &At, spec: &At, init: bool) -> ErrorList {
    let sidecar = init && was.child("restartPolicy").text() == "Always";
    if init && !sidecar {
        let text = "resources for non-sidecar init containers are immutable";
        return (!same(now.value, was.value)).then(|| spec.forbidden(text)).into_iter().collect();
    }
    let (resources, before) = (now.child("resources"), was.child("resources"));
    let mut errors = ErrorList::new();
    for part in ["requests", "limits"] {
        let gone = before.child(part).entries().iter().any(|(name, _)| !resources.child(part).child(name).is_set());
        errors.extend(gone.then(|| resources.child(part).forbidden(format!("resource {part} cannot be removed"))));
    }
    let text = match sidecar {
        true => "only cpu and memory resources for sidecar containers are mutable",
        false => "only cpu and memory resources are mutable",
    };
    errors.extend((!same(&without_resizable(now), &without_resizable(was))).then(|| spec.forbidden(text)));
    errors
}

/// The container without what a resize may change.
fn without_resizable(container: &At) -> Value {
    let mut container = container.value.clone();
    for part in ["limits", "requests"] {
        if let Some(amounts) = container.pointer_mut(&format!("/resources/{part}")).and_then(Value::as_object_mut) {
            amounts.retain(|name, _| !matches!(name.as_str(), "cpu" | "memory"));
        }
    }
    container
}
