//! Annotations that mean something to pods.

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};

use super::super::CONTAINER_LISTS;
use super::volumes::validate_relative;
use crate::check::At;

pub const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
pub const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

pub fn validate_pod_annotations(annotations: &At, spec: &At) -> ErrorList {
    let containers: Vec<At> = CONTAINER_LISTS.iter().flat_map(|list| spec.child(list).items()).collect();
    let names: HashSet<&str> = containers.iter().map(|container| container.child("name").text()).collect();
    let mut errors = ErrorList::new();
    for (key, annotation) in annotations.entries() {
        let container = key.strip_prefix(APP_ARMOR);
        match key {
            MIRROR if spec.child("nodeName").is_empty() => {
                errors.push(annotation.invalid("must set spec.nodeName if mirror pod annotation is set"));
            }
            DELETION_COST if !is_cost(annotation.text()) => {
                errors.push(annotation.invalid("must be a 32bit integer"));
            }
            _ if key == SECCOMP_OF_POD || key.starts_with(SECCOMP_OF_CONTAINER) => {
                errors.extend(validate_seccomp(&annotation.at(annotations.path.child(key))));
            }
            _ => errors.extend(container.into_iter().flat_map(|name| validate_app_armor(name, &annotation, &names))),
        }
    }
    errors
}

/// A number as upstream reads it: without a plus sign or leading zeros.
fn is_cost(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = text == "0" || (!digits.starts_with('0') && !text.starts_with('+'));
    canonical && text.parse::<i32>().is_ok()
}

fn validate_seccomp(profile: &At) -> ErrorList {
    match profile.text() {
        "runtime/default" | "docker/default" | "unconfined" => ErrorList::new(),
        text => match text.strip_prefix("localhost/") {
            Some(path) => {
                let value = serde_json::Value::from(path);
                validate_relative(&At { value: &value, path: profile.path.clone() })
            }
            None => vec![profile.invalid("must be a valid seccomp profile")],
        },
    }
}

fn validate_app_armor(container: &str, profile: &At, containers: &HashSet<&str>) -> ErrorList {
    let mut errors = ErrorList::new();
    if !containers.contains(container) {
        errors.push(Error::invalid(&profile.path, container, "container not found"));
    }
    let known = matches!(profile.text(), "" | "runtime/default" | "unconfined");
    if !known && !profile.text().starts_with("localhost/") {
        errors.push(profile.invalid(format!("invalid AppArmor profile name: {:?}", profile.text())));
    }
    errors
}

/// Annotations that stay as they are once the pod is there.
pub fn validate_annotation_updates(new: &At, old: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, was) in old.entries() {
        if new.child(key).value == was.value {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            errors.push(was.forbidden("may not remove or update AppArmor annotations"));
        } else if key == MIRROR {
            errors.push(was.forbidden("may not remove or update mirror pod annotation"));
        }
    }
    for (key, added) in new.entries().into_iter().filter(|(key, _)| !old.child(key).is_set()) {
        if key.starts_with(APP_ARMOR) {
            errors.push(added.forbidden("may not add AppArmor annotations"));
        } else if key == MIRROR {
            errors.push(added.forbidden("may not add mirror pod annotation"));
        }
    }
    errors
}
