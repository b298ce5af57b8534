//! What pods of an operating system may not have.

use machinery::field::{Error, ErrorList};

use super::super::CONTAINER_LISTS;
use crate::check::At;

const OF_LINUX_POD: [&str; 9] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
];
const OF_LINUX_SPEC: [&str; 4] = ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"];
const OF_LINUX_CONTAINER: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

pub fn validate_os(spec: &At) -> ErrorList {
    let os = spec.child("os");
    if !os.is_set() {
        return ErrorList::new();
    }
    let name = os.child("name");
    match name.text() {
        "" => vec![name.required("cannot be empty")],
        "linux" => {
            deny(spec, &[], &["windowsOptions"], &["windowsOptions"], "windows options cannot be set for a linux pod")
        }
        "windows" => deny(spec, &OF_LINUX_SPEC, &OF_LINUX_POD, &OF_LINUX_CONTAINER, "cannot be set for a windows pod"),
        other => vec![Error::not_supported(&os.path, other, &["linux", "windows"])],
    }
}

fn deny(spec: &At, of_spec: &[&str], of_pod: &[&str], of_container: &[&str], text: &str) -> ErrorList {
    let mut denied = spec.set_children(of_spec);
    denied.extend(spec.child("securityContext").set_children(of_pod));
    for list in CONTAINER_LISTS {
        let contexts = spec.child(list).items().into_iter().map(|container| container.child("securityContext"));
        denied.extend(contexts.flat_map(|context| context.set_children(of_container)));
    }
    let is_off =
        |at: &At| at.value == &serde_json::Value::Bool(false) && matches!(at.name().as_str(), "hostPID" | "hostIPC");
    denied.iter().filter(|at| !is_off(at)).map(|at| at.forbidden(text)).collect()
}
