//! Containers of every sort.

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
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
const RESTART_POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
const RESTART_ACTIONS: &[&str] = &["Restart", "RestartAllContainers"];
const RESTART_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
/// What only containers that stay may have.
const OF_LASTING: [&str; 4] = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];
/// What an ephemeral container may not have.
const NOT_EPHEMERAL: [&str; 6] =
    ["ports", "livenessProbe", "readinessProbe", "startupProbe", "resources", "resizePolicy"];

pub fn validate_containers(containers: &At, context: &Context) -> ErrorList {
    if containers.is_empty() {
        return vec![containers.required("")];
    }
    let items = containers.items();
    let mut errors = ErrorList::new();
    let mut names = HashSet::new();
    for container in &items {
        errors.extend(validate_common(container, context));
        errors.extend(repeated_name(container, &mut names));
        errors.extend(validate_lasting(container, context));
        errors.extend(validate_restarts(container));
    }
    errors.extend(host_port_conflicts(&items));
    errors
}

pub fn validate_init_containers(spec: &At, context: &Context) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = names(spec, &["containers"]);
    for container in spec.child("initContainers").items() {
        errors.extend(validate_common(&container, context));
        errors.extend(validate_restarts(&container));
        errors.extend(repeated_name(&container, &mut seen));
        errors.extend(host_port_conflicts(std::slice::from_ref(&container)));
        if container.child("restartPolicy").text() == "Always" {
            errors.extend(validate_lasting(&container, context));
        } else {
            let text = "may not be set for init containers without restartPolicy=Always";
            errors.extend(container.set_children(&OF_LASTING).iter().map(|at| at.forbidden(text)));
        }
    }
    errors
}

/// When a container starts again, where it says so itself.
fn validate_restarts(container: &At) -> ErrorList {
    let (policy, rules) = (container.child("restartPolicy"), container.child("restartPolicyRules"));
    let mut errors: ErrorList = one_of(&policy, RESTART_POLICIES).into_iter().collect();
    if !policy.is_set() && !rules.is_empty() {
        errors.push(policy.required("must specify restartPolicy when restart rules are used"));
    }
    let items = rules.items();
    if items.len() > RESTART_RULES_MAX {
        errors.push(Error::too_many(&rules.path, items.len(), RESTART_RULES_MAX));
    }
    for rule in &items {
        let codes = rule.child("exitCodes");
        errors.extend(required_one_of(&rule.child("action"), RESTART_ACTIONS));
        if !codes.is_set() {
            errors.push(codes.required("must be specified"));
            continue;
        }
        errors.extend(required_one_of(&codes.child("operator"), &["In", "NotIn"]));
        let count = codes.child("values").items().len();
        if count > EXIT_CODES_MAX {
            errors.push(Error::too_many(&codes.child("values").path, count, EXIT_CODES_MAX));
        }
    }
    errors
}

pub fn validate_ephemeral_containers(spec: &At, context: &Context) -> ErrorList {
    let targets = names(spec, &["containers", "initContainers"]);
    let mut seen = targets.clone();
    let mut errors = ErrorList::new();
    for container in spec.child("ephemeralContainers").items() {
        errors.extend(validate_common(&container, context));
        errors.extend(validate_image(&container));
        errors.extend(repeated_name(&container, &mut seen));
        let target = container.child("targetContainerName");
        if !target.text().is_empty() && !targets.contains(target.text()) {
            errors.push(target.not_found());
        }
        let mounts = container.child("volumeMounts").items();
        let denied = container.set_children(&NOT_EPHEMERAL).into_iter();
        let denied = denied.chain(mounts.iter().flat_map(|mount| mount.set_children(&["subPath", "subPathExpr"])));
        let denied = denied.filter(|at| !at.is_empty());
        // An empty one of these is there all the same.
        let denied = denied.chain(container.set_children(&["lifecycle", "restartPolicy"]));
        errors.extend(denied.map(|at| at.forbidden("cannot be set for an Ephemeral Container")));
    }
    errors
}

/// Templates may hold such images, pods may not.
pub fn validate_image(container: &At) -> Option<Error> {
    let image = container.child("image");
    let text = "must not have leading or trailing whitespace";
    (image.text() != image.text().trim()).then(|| image.invalid(text))
}

fn names<'a>(spec: &At<'a>, lists: &[&str]) -> HashSet<&'a str> {
    lists.iter().flat_map(|list| spec.child(list).items()).map(|container| container.child("name").text()).collect()
}

fn repeated_name<'a>(container: &At<'a>, seen: &mut HashSet<&'a str>) -> Option<Error> {
    let name = container.child("name");
    (!name.text().is_empty() && !seen.insert(name.text())).then(|| name.duplicate())
}

/// What holds for containers of every sort.
fn validate_common(container: &At, context: &Context) -> ErrorList {
    let mut errors = required_name(&container.child("name"), dns1123_label);
    errors.extend(required(&container.child("image")));
    errors.extend(required_one_of(&container.child("terminationMessagePolicy"), MESSAGE_POLICIES));
    errors.extend(validate_ports(&container.child("ports")));
    errors.extend(validate_env(&container.child("env")));
    errors.extend(validate_env_from(&container.child("envFrom")));
    errors.extend(validate_mounts(container, context));
    errors.extend(validate_devices(container, context));
    errors.extend(required_one_of(&container.child("imagePullPolicy"), PULL_POLICIES));
    errors.extend(validate_resources(&container.child("resources"), &context.resource_claims));
    errors.extend(validate_resize_policy(&container.child("resizePolicy"), context));
    errors.extend(validate_container_security(&container.child("securityContext"), context.host_users));
    errors
}

/// What holds for containers that run as long as the pod.
fn validate_lasting(container: &At, context: &Context) -> ErrorList {
    let mut errors = validate_lifecycle(&container.child("lifecycle"), context.grace);
    errors.extend(validate_probes(container));
    errors
}

fn validate_ports(ports: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for port in ports.items() {
        let name = port.child("name");
        let name_errors = optional_name(&name, port_name);
        if name_errors.is_empty() && !name.text().is_empty() && !seen.insert(name.text()) {
            errors.push(name.duplicate());
        }
        errors.extend(name_errors);
        let (inside, outside) = (port.child("containerPort"), port.child("hostPort"));
        errors.extend(match inside.int().unwrap_or(0) {
            0 => vec![inside.required("")],
            number => inside.messages(port_number(number)),
        });
        let outside_number = outside.int().filter(|number| *number != 0);
        errors.extend(outside_number.into_iter().flat_map(|number| outside.messages(port_number(number))));
        errors.extend(required_one_of(&port.child("protocol"), PROTOCOLS));
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
            errors.push(Error::duplicate(&host.path, key));
        }
    }
    errors
}

/// What the items of a list say in a field.
fn texts<'a>(list: &At<'a>, field: &str) -> HashSet<&'a str> {
    list.items().iter().map(|item| item.child(field).text()).collect()
}

fn validate_mounts(container: &At, context: &Context) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut paths = HashSet::new();
    let (mounts, devices) = (container.child("volumeMounts"), container.child("volumeDevices"));
    let (device_names, device_paths) = (texts(&devices, "name"), texts(&devices, "devicePath"));
    for mount in mounts.items() {
        let (name, path) = (mount.child("name"), mount.child("mountPath"));
        errors.extend(required(&name));
        errors.extend((!context.volumes.contains(name.text())).then(|| name.not_found()));
        errors.extend(required(&path));
        errors.extend((!paths.insert(path.text())).then(|| path.invalid("must be unique")));
        let taken = "must not already exist in volumeDevices";
        errors.extend(device_names.contains(name.text()).then(|| name.invalid(taken)));
        let taken = "must not already exist as a path in volumeDevices";
        errors.extend(device_paths.contains(path.text()).then(|| path.invalid(taken)));
        errors.extend(validate_sub_paths(&mounts, &mount));
        errors.extend(validate_propagation(&mounts, &mount, container));
        errors.extend(validate_recursion(&mounts, &mount));
    }
    errors
}

/// A field of a mount, where upstream says it is: it leaves out which of the mounts.
fn of_mounts<'a>(mounts: &At, mount: &At<'a>, field: &str) -> At<'a> {
    mount.child(field).at(mounts.path.child(field))
}

fn validate_sub_paths(mounts: &At, mount: &At) -> ErrorList {
    let (plain, expanded) = (mount.child("subPath"), mount.child("subPathExpr"));
    let mut errors = ErrorList::new();
    if !plain.is_empty() {
        errors.extend(validate_relative(&of_mounts(mounts, mount, "subPath")));
    }
    if !plain.is_empty() && !expanded.is_empty() {
        errors.push(expanded.invalid("subPathExpr and subPath are mutually exclusive"));
    }
    if !expanded.is_empty() {
        errors.extend(validate_relative(&of_mounts(mounts, mount, "subPathExpr")));
    }
    errors
}

fn validate_propagation(mounts: &At, mount: &At, container: &At) -> ErrorList {
    let propagation = of_mounts(mounts, mount, "mountPropagation");
    let mut errors: ErrorList = one_of(&propagation, PROPAGATIONS).into_iter().collect();
    let privileged = container.child("securityContext").child("privileged").is_true();
    if propagation.text() == "Bidirectional" && !privileged {
        let text = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(propagation.forbidden(text));
    }
    errors
}

fn validate_recursion(mounts: &At, mount: &At) -> ErrorList {
    let recursive = of_mounts(mounts, mount, "recursiveReadOnly");
    if !matches!(recursive.text(), "Enabled" | "IfPossible") {
        return one_of(&recursive, &["Disabled", "Enabled", "IfPossible"]).into_iter().collect();
    }
    let mut errors = ErrorList::new();
    if !mount.child("readOnly").is_true() {
        errors.push(recursive.forbidden("may only be specified when readOnly is true"));
    }
    if !matches!(mount.child("mountPropagation").text(), "" | "None") {
        let text = "may only be specified when mountPropagation is None or not specified";
        errors.push(recursive.forbidden(text));
    }
    errors
}

fn validate_devices(container: &At, context: &Context) -> ErrorList {
    let mut errors = ErrorList::new();
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    let mounts = container.child("volumeMounts");
    let (mount_names, mount_paths) = (texts(&mounts, "name"), texts(&mounts, "mountPath"));
    for device in container.child("volumeDevices").items() {
        let (name, path) = (device.child("name"), device.child("devicePath"));
        errors.extend(required(&name));
        errors.extend((!names.insert(name.text())).then(|| name.invalid("must be unique")));
        if !context.volumes.contains(name.text()) {
            errors.push(name.not_found());
        } else if !context.claims.contains(name.text()) {
            let text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
            errors.push(name.invalid(text));
        }
        errors.extend(required(&path));
        errors.extend((!paths.insert(path.text())).then(|| path.invalid("must be unique")));
        let steps_back = path.text().split('/').any(|part| part == "..");
        errors.extend(steps_back.then(|| path.invalid("can not contain backsteps ('..')")));
        let taken = "must not already exist in volumeMounts";
        errors.extend(mount_names.contains(name.text()).then(|| name.invalid(taken)));
        let taken = "must not already exist as a path in volumeMounts";
        errors.extend(mount_paths.contains(path.text()).then(|| path.invalid(taken)));
    }
    errors
}

/// What a change of resources does to a container; upstream says where the list is, not which of it.
fn validate_resize_policy(policies: &At, context: &Context) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for policy in policies.items() {
        let at = |field: &str| policy.child(field).at(policies.path.clone());
        let (name, restart) = (at("resourceName"), at("restartPolicy"));
        if !seen.insert(name.text()) {
            errors.push(Error::duplicate(&policy.path, name.text()));
        }
        errors.extend(required_one_of(&name, &["cpu", "memory"]));
        errors.extend(required_one_of(&restart, RESIZE_POLICIES));
        if context.restart_policy == "Never" && restart.text() != "NotRequired" {
            errors.push(restart.invalid("must be 'NotRequired' when `restartPolicy` is 'Never'"));
        }
    }
    errors
}
