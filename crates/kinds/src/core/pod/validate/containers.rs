//! Containers of every sort.

use std::collections::HashSet;

use machinery::field::ErrorList;
use machinery::validation::{dns1123_label, port_name, port_number};

use super::env::{validate_env, validate_env_from};
use super::handlers::{validate_lifecycle, validate_probes};
use super::resources::validate_resources;
use super::security::validate_container_security;
use super::spec::Context;
use super::volumes::validate_relative;
use crate::check::{At, one_of, optional_name, required, required_name, required_one_of};

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: &[&str] = &["FallbackToLogsOnError", "File"];
const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];
const RESIZE_POLICIES: &[&str] = &["NotRequired", "RestartContainer"];
/// What only containers that stay may have.
const OF_LASTING: [&str; 4] = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];
/// What an ephemeral container may not have.
const NOT_EPHEMERAL: [&str; 7] =
    ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources", "resizePolicy"];

pub fn validate_containers(containers: &At, context: &Context) -> ErrorList {
    if containers.is_empty() {
        return vec![containers.required("")];
    }
    let items = containers.items();
    let mut errors = unique_names(&items, HashSet::new());
    for container in &items {
        errors.extend(validate_common(container, context));
        errors.extend(validate_lasting(container, context));
    }
    errors.extend(host_port_conflicts(&items));
    errors
}

pub fn validate_init_containers(spec: &At, context: &Context) -> ErrorList {
    let items = spec.child("initContainers").items();
    let mut errors = unique_names(&items, names(spec, &["containers"]));
    for container in &items {
        errors.extend(validate_common(container, context));
        errors.extend(one_of(&container.child("restartPolicy"), &["Always"]));
        if container.child("restartPolicy").text() == "Always" {
            errors.extend(validate_lasting(container, context));
        } else {
            let text = "may not be set for init containers without restartPolicy=Always";
            errors.extend(container.set_children(&OF_LASTING).iter().map(|at| at.forbidden(text)));
        }
        errors.extend(host_port_conflicts(std::slice::from_ref(container)));
    }
    errors
}

pub fn validate_ephemeral_containers(spec: &At, context: &Context) -> ErrorList {
    let items = spec.child("ephemeralContainers").items();
    let mut errors = unique_names(&items, names(spec, &["containers", "initContainers"]));
    let targets = names(spec, &["containers", "initContainers"]);
    for container in &items {
        errors.extend(validate_common(container, context));
        let target = container.child("targetContainerName");
        if !target.text().is_empty() && !targets.contains(target.text()) {
            errors.push(target.not_found());
        }
        let denied = container.set_children(&NOT_EPHEMERAL);
        errors.extend(
            denied
                .iter()
                .filter(|at| !at.is_empty())
                .map(|at| at.forbidden("cannot be set for an Ephemeral Container")),
        );
        for mount in container.child("volumeMounts").items() {
            let parts = mount.set_children(&["subPath", "subPathExpr"]);
            errors.extend(
                parts
                    .iter()
                    .filter(|at| !at.is_empty())
                    .map(|at| at.forbidden("cannot be set for an Ephemeral Container")),
            );
        }
    }
    errors
}

fn names<'a>(spec: &At<'a>, lists: &[&str]) -> HashSet<&'a str> {
    lists.iter().flat_map(|list| spec.child(list).items()).map(|container| container.child("name").text()).collect()
}

fn unique_names<'a>(items: &[At<'a>], mut seen: HashSet<&'a str>) -> ErrorList {
    let names = items.iter().map(|container| container.child("name")).filter(|name| !name.text().is_empty());
    names.filter_map(|name| (!seen.insert(name.text())).then(|| name.duplicate())).collect()
}

/// What holds for containers of every sort.
fn validate_common(container: &At, context: &Context) -> ErrorList {
    let mut errors = required_name(&container.child("name"), dns1123_label);
    errors.extend(required(&container.child("image")));
    errors.extend(required_one_of(&container.child("terminationMessagePolicy"), MESSAGE_POLICIES));
    errors.extend(validate_ports(&container.child("ports"), context));
    errors.extend(validate_env(&container.child("env")));
    errors.extend(validate_env_from(&container.child("envFrom")));
    errors.extend(validate_mounts(container, context));
    errors.extend(validate_devices(container, context));
    errors.extend(required_one_of(&container.child("imagePullPolicy"), PULL_POLICIES));
    errors.extend(validate_resources(&container.child("resources")));
    errors.extend(validate_resize_policy(&container.child("resizePolicy")));
    errors.extend(validate_container_security(&container.child("securityContext")));
    errors
}

/// What holds for containers that run as long as the pod.
fn validate_lasting(container: &At, context: &Context) -> ErrorList {
    let mut errors = validate_lifecycle(&container.child("lifecycle"), context.grace);
    errors.extend(validate_probes(container));
    errors
}

fn validate_ports(ports: &At, context: &Context) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for port in ports.items() {
        let name = port.child("name");
        let name_errors = optional_name(&name, port_name);
        if name_errors.is_empty() && !name.text().is_empty() && !seen.insert(name.text()) {
            errors.push(name.duplicate());
        }
        errors.extend(name_errors);
        errors.extend(validate_port_numbers(&port, context));
        errors.extend(required_one_of(&port.child("protocol"), PROTOCOLS));
    }
    errors
}

fn validate_port_numbers(port: &At, context: &Context) -> ErrorList {
    let (inside, outside) = (port.child("containerPort"), port.child("hostPort"));
    let number = |at: &At| at.int().unwrap_or(0);
    let mut errors = match number(&inside) {
        0 => vec![inside.required("")],
        number => inside.messages(port_number(number)),
    };
    if number(&outside) != 0 {
        errors.extend(outside.messages(port_number(number(&outside))));
    }
    if context.host_network && number(&inside) != number(&outside) && number(&outside) != 0 {
        errors.push(inside.invalid("must match `hostPort` when `hostNetwork` is true"));
    }
    errors
}

fn host_port_conflicts(containers: &[At]) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for port in containers.iter().flat_map(|container| container.child("ports").items()) {
        let host = port.child("hostPort");
        let Some(number) = host.int().filter(|number| *number != 0) else { continue };
        let key = format!("{}/{}/{number}", port.child("protocol").text(), port.child("hostIP").text());
        if !seen.insert(key.clone()) {
            errors.push(machinery::field::Error::duplicate(&host.path, key));
        }
    }
    errors
}

fn validate_mounts(container: &At, context: &Context) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut paths = HashSet::new();
    let devices = container.child("volumeDevices").items();
    for mount in container.child("volumeMounts").items() {
        let (name, path) = (mount.child("name"), mount.child("mountPath"));
        errors.extend(required(&name));
        errors.extend(required(&path));
        if !name.text().is_empty() && !context.volumes.contains(name.text()) {
            errors.push(name.not_found());
        }
        if !paths.insert(path.text()) {
            errors.push(path.invalid("must be unique"));
        }
        if devices.iter().any(|device| device.child("name").text() == name.text()) {
            errors.push(name.invalid("must not already exist in volumeDevices"));
        }
        if devices.iter().any(|device| device.child("devicePath").text() == path.text()) {
            errors.push(path.invalid("must not already exist as a path in volumeDevices"));
        }
        errors.extend(validate_sub_paths(&mount));
        errors.extend(validate_propagation(&mount.child("mountPropagation"), container));
    }
    errors
}

fn validate_sub_paths(mount: &At) -> ErrorList {
    let (plain, expanded) = (mount.child("subPath"), mount.child("subPathExpr"));
    let mut errors = ErrorList::new();
    for path in [&plain, &expanded] {
        if !path.is_empty() {
            errors.extend(validate_relative(path));
        }
    }
    if !plain.is_empty() && !expanded.is_empty() {
        errors.push(expanded.invalid("subPathExpr and subPath are mutually exclusive"));
    }
    errors
}

fn validate_propagation(propagation: &At, container: &At) -> ErrorList {
    let mut errors: ErrorList = one_of(propagation, PROPAGATIONS).into_iter().collect();
    let privileged = container.child("securityContext").child("privileged").is_true();
    if propagation.text() == "Bidirectional" && !privileged {
        let text = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(propagation.forbidden(text));
    }
    errors
}

fn validate_devices(container: &At, context: &Context) -> ErrorList {
    let mut errors = ErrorList::new();
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    for device in container.child("volumeDevices").items() {
        let (name, path) = (device.child("name"), device.child("devicePath"));
        errors.extend(required(&name));
        errors.extend(required(&path));
        if !name.text().is_empty() && !context.volumes.contains(name.text()) {
            errors.push(name.not_found());
        } else if !name.text().is_empty() && !context.claims.contains(name.text()) {
            errors.push(
                name.invalid("can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"),
            );
        }
        if !names.insert(name.text()) {
            errors.push(name.invalid("must be unique"));
        }
        if !paths.insert(path.text()) {
            errors.push(path.invalid("must be unique"));
        }
        if !path.is_empty() {
            errors.extend(super::volumes::without_backsteps(&path));
        }
    }
    errors
}

fn validate_resize_policy(policies: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for policy in policies.items() {
        let name = policy.child("resourceName");
        errors.extend(required_one_of(&name, &["cpu", "memory"]));
        errors.extend(required_one_of(&policy.child("restartPolicy"), RESIZE_POLICIES));
        if !seen.insert(name.text()) {
            errors.push(name.duplicate());
        }
    }
    errors
}
