//! Security contexts.

use machinery::field::ErrorList;
use machinery::validation::user_id;

use crate::check::{At, required, required_one_of};

const USERS: [&str; 2] = ["runAsUser", "runAsGroup"];
const SECCOMP_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const FS_GROUP_POLICIES: &[&str] = &["Always", "OnRootMismatch"];

pub fn validate_container_security(context: &At) -> ErrorList {
    let mut errors = validate_users(context);
    errors.extend(validate_profiles(context));
    let escalation = context.child("allowPrivilegeEscalation");
    if escalation.value != &serde_json::Value::Bool(false) {
        return errors;
    }
    if context.child("privileged").is_true() {
        errors.push(context.invalid("cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    }
    let added = context.child("capabilities").child("add").items();
    if added.iter().any(|capability| matches!(capability.text(), "CAP_SYS_ADMIN" | "SYS_ADMIN")) {
        let text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(context.invalid(text));
    }
    errors
}

pub fn validate_pod_security(spec: &At) -> ErrorList {
    let context = spec.child("securityContext");
    let mut errors = validate_users(&context);
    errors.extend(validate_profiles(&context));
    errors.extend(validate_id(&context.child("fsGroup")));
    for group in context.child("supplementalGroups").items() {
        errors.extend(validate_id(&group));
    }
    let policy = context.child("fsGroupChangePolicy");
    if policy.is_set() {
        errors.extend(required_one_of(&policy, FS_GROUP_POLICIES));
    }
    let shared = spec.child("shareProcessNamespace");
    if shared.is_true() && spec.child("hostPID").is_true() {
        errors.push(shared.invalid("ShareProcessNamespace and HostPID cannot both be enabled"));
    }
    errors.extend(validate_sysctls(&context.child("sysctls")));
    errors
}

fn validate_users(context: &At) -> ErrorList {
    USERS.iter().flat_map(|field| validate_id(&context.child(field))).collect()
}

fn validate_id(at: &At) -> ErrorList {
    at.int().map_or_else(ErrorList::new, |id| at.messages(user_id(id)))
}

fn validate_profiles(context: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for name in ["seccompProfile", "appArmorProfile"] {
        let profile = context.child(name);
        if !profile.is_set() {
            continue;
        }
        let (of_type, local) = (profile.child("type"), profile.child("localhostProfile"));
        errors.extend(required_one_of(&of_type, SECCOMP_TYPES));
        if of_type.text() == "Localhost" {
            errors.extend(local.is_empty().then(|| local.required("must be set when seccomp type is Localhost")));
        } else if local.is_set() {
            errors.push(local.invalid("can only be set when seccomp type is Localhost"));
        }
    }
    errors
}

fn validate_sysctls(sysctls: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = std::collections::HashSet::new();
    for sysctl in sysctls.items() {
        let name = sysctl.child("name");
        errors.extend(required(&name));
        if !name.is_empty() && !is_sysctl(name.text()) {
            let format = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
            errors.push(name.invalid(format!("must have at most 253 characters and match regex ^{format}$")));
        }
        if !seen.insert(name.text()) {
            errors.push(name.duplicate());
        }
    }
    errors
}

fn is_sysctl(name: &str) -> bool {
    let segment = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(part.chars().next())
            && ends(part.chars().last())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}
