//! Security contexts.

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_subdomain, user_id};

use super::volumes::validate_relative;
use crate::check::{At, one_of, optional_name};

const USERS: [&str; 2] = ["runAsUser", "runAsGroup"];
const PROFILE_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const SYSCTL_MAX: usize = 253;
const PROFILE_MAX: usize = 4095;
/// Kernel parameters that belong to a namespace, by how their names begin.
const OF_NETWORK: [&str; 1] = ["net."];
const OF_IPC: [&str; 4] = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."];

pub fn validate_container_security(context: &At, host_users: bool) -> ErrorList {
    let mut errors = validate_users(context);
    errors.extend(validate_proc_mount(&context.child("procMount"), host_users));
    errors.extend(validate_seccomp(&context.child("seccompProfile")));
    if context.child("allowPrivilegeEscalation").value == &serde_json::Value::Bool(false) {
        errors.extend(validate_no_escalation(context));
    }
    errors.extend(validate_windows(&context.child("windowsOptions")));
    errors.extend(validate_app_armor(&context.child("appArmorProfile")));
    errors
}

fn validate_no_escalation(context: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    if context.child("privileged").is_true() {
        errors.push(context.invalid("cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    }
    let added = context.child("capabilities").child("add").items();
    let admin = added.iter().filter(|capability| capability.text() == "CAP_SYS_ADMIN");
    let text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
    errors.extend(admin.map(|_| context.invalid(text)));
    errors
}

fn validate_proc_mount(mount: &At, host_users: bool) -> ErrorList {
    let mut errors: ErrorList = one_of(mount, &["Default", "Unmasked"]).into_iter().collect();
    if host_users && mount.text() == "Unmasked" {
        errors.push(mount.invalid("`hostUsers` must be false to use `Unmasked`"));
    }
    errors
}

pub fn validate_pod_security(spec: &At) -> ErrorList {
    let context = spec.child("securityContext");
    let mut errors = validate_id(&context.child("fsGroup"));
    errors.extend(validate_users(&context));
    errors.extend(context.child("supplementalGroups").items().iter().flat_map(validate_id));
    let shared = spec.child("shareProcessNamespace");
    if shared.is_true() && spec.child("hostPID").is_true() {
        let path = context.path.child("shareProcessNamespace");
        errors.push(Error::invalid(&path, true, "ShareProcessNamespace and HostPID cannot both be enabled"));
    }
    errors.extend(validate_sysctls(&context.child("sysctls"), spec));
    errors.extend(one_of(&context.child("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]));
    errors.extend(validate_seccomp(&context.child("seccompProfile")));
    errors.extend(validate_windows(&context.child("windowsOptions")));
    errors.extend(validate_app_armor(&context.child("appArmorProfile")));
    errors.extend(one_of(&context.child("supplementalGroupsPolicy"), &["Merge", "Strict"]));
    errors.extend(one_of(&context.child("seLinuxChangePolicy"), &["MountOption", "Recursive"]));
    errors
}

/// A pod with users of its own has to have the other namespaces of its own as well.
pub fn validate_host_users(spec: &At) -> ErrorList {
    if spec.child("hostUsers").value != &serde_json::Value::Bool(false) {
        return ErrorList::new();
    }
    // The second and third begin in upper case in upstream's answers.
    let fields = [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")];
    let shared = fields.iter().filter(|(field, _)| spec.child(field).is_true());
    let text = "when `pod.Spec.HostUsers` is false";
    shared.map(|(_, shown)| Error::forbidden(&spec.path.child(shown), text)).collect()
}

fn validate_users(context: &At) -> ErrorList {
    USERS.iter().flat_map(|field| validate_id(&context.child(field))).collect()
}

fn validate_id(at: &At) -> ErrorList {
    at.int().map_or_else(ErrorList::new, |id| at.messages(user_id(id)))
}

fn validate_seccomp(profile: &At) -> ErrorList {
    if !profile.is_set() {
        return ErrorList::new();
    }
    let (of_type, local) = (profile.child("type"), profile.child("localhostProfile"));
    let mut errors: ErrorList = one_of(&of_type, PROFILE_TYPES).into_iter().collect();
    if of_type.is_empty() {
        errors.push(of_type.required("type is required when seccompProfile is set"));
    }
    match (of_type.text() == "Localhost", local.is_set()) {
        (true, true) => errors.extend(validate_relative(&local)),
        (true, false) => errors.push(local.required("must be set when seccomp type is Localhost")),
        (false, true) => {
            let text = "can only be set when seccomp type is Localhost";
            errors.push(Error::invalid(&local.path, profile.value.clone(), text));
        }
        (false, false) => {}
    }
    errors
}

fn validate_app_armor(profile: &At) -> ErrorList {
    if !profile.is_set() {
        return ErrorList::new();
    }
    let (of_type, local) = (profile.child("type"), profile.child("localhostProfile"));
    match of_type.text() {
        "" => vec![of_type.required("type is required when appArmorProfile is set")],
        "Localhost" => validate_app_armor_name(&local),
        "RuntimeDefault" | "Unconfined" if local.is_set() => {
            vec![local.invalid("can only be set when AppArmor type is Localhost")]
        }
        _ => one_of(&of_type, PROFILE_TYPES).into_iter().collect(),
    }
}

fn validate_app_armor_name(local: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    if local.text() != local.text().trim() {
        errors.push(local.invalid("must not be padded with whitespace"));
    } else if local.is_empty() {
        errors.push(local.required("must be set when AppArmor type is Localhost"));
    }
    if local.text().len() > PROFILE_MAX {
        errors.push(Error::too_long(&local.path, PROFILE_MAX));
    }
    errors
}

fn validate_windows(options: &At) -> ErrorList {
    let mut errors = optional_name(&options.child("gmsaCredentialSpecName"), dns1123_subdomain);
    for field in options.set_children(&["gmsaCredentialSpec", "runAsUserName"]) {
        if field.is_empty() {
            errors.push(field.invalid(format!("{} cannot be an empty string", field.name())));
        }
    }
    errors
}

fn validate_sysctls(sysctls: &At, spec: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for sysctl in sysctls.items() {
        let name = sysctl.child("name");
        if name.is_empty() {
            errors.push(name.required(""));
        } else if !is_sysctl(name.text()) {
            let format = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
            errors.push(name.invalid(format!("must have at most {SYSCTL_MAX} characters and match regex ^{format}$")));
        } else if seen.contains(name.text()) {
            errors.push(name.duplicate());
        }
        errors.extend(validate_host_sysctl(&name, spec));
        seen.insert(name.text());
    }
    errors
}

/// A pod may not change what it shares with its node.
fn validate_host_sysctl(name: &At, spec: &At) -> Option<Error> {
    let dotted = name.text().replace('/', ".");
    let is_in = |prefixes: &[&str]| prefixes.iter().any(|prefix| dotted.starts_with(prefix));
    let shared = match () {
        () if is_in(&OF_NETWORK) => "hostNetwork",
        () if is_in(&OF_IPC) => "hostIPC",
        () => return None,
    };
    let text = format!("may not be specified when '{shared}' is true");
    spec.child(shared).is_true().then(|| name.invalid(text))
}

fn is_sysctl(name: &str) -> bool {
    let segment = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(part.chars().next())
            && ends(part.chars().last())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(segment)
}
