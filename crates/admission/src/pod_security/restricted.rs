//! The restricted standard: current best practice for hardening pods. Some of its checks stand in for
//! weaker ones of baseline.

use machinery::Object;
use serde_json::Value;

use super::baseline;
use super::check::{
    Rule, Violation, containers, counted, failing, has_own_users, is_windows, name, of_pod, own, plural, quoted,
    sorted, texts,
};

/// Those of baseline first, then its own.
pub const RULES: &[Rule] = &[
    Rule::always(baseline::app_armor),
    Rule::until(22, baseline::capabilities),
    Rule::always(baseline::host_namespaces),
    Rule::always(baseline::host_ports),
    Rule::since(34, baseline::probe_hosts),
    Rule::always(baseline::privileged),
    Rule::until(35, baseline::any_proc_mount),
    Rule::always(baseline::selinux),
    Rule::until(19, baseline::seccomp),
    Rule::always(baseline::sysctls),
    Rule::always(baseline::windows_host_process),
    Rule::since(8, allow_privilege_escalation),
    Rule::since(22, capabilities),
    Rule::since(35, baseline::any_proc_mount),
    Rule::always(volume_types),
    Rule::until(35, any_run_as_non_root),
    Rule::since(35, run_as_non_root),
    Rule::range(23, 35, any_run_as_user),
    Rule::since(35, run_as_user),
    Rule::since(19, seccomp),
];

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn allow_privilege_escalation(pod: &Object) -> Option<Violation> {
    if is_windows(pod) {
        return None;
    }
    let failing = failing(pod, |container| own(container, "/allowPrivilegeEscalation") != Some(&Value::Bool(false)));
    let details = (!failing.is_empty())
        .then(|| format!("{} must set securityContext.allowPrivilegeEscalation=false", counted("container", &failing)));
    Violation::of("allowPrivilegeEscalation != false", details.into_iter().collect(), "")
}

fn capabilities(pod: &Object) -> Option<Violation> {
    if is_windows(pod) {
        return None;
    }
    let keeps = failing(pod, |container| !texts(own(container, "/capabilities/drop")).any(|of| of == "ALL"));
    let added = |container: &Value| -> Vec<String> {
        let added = texts(own(container, "/capabilities/add"));
        added.filter(|capability| *capability != "NET_BIND_SERVICE").map(str::to_owned).collect()
    };
    let adds = failing(pod, |container| !added(container).is_empty());
    let mut details = Vec::new();
    if !keeps.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", counted("container", &keeps)));
    }
    if !adds.is_empty() {
        let all = sorted(containers(pod).flat_map(added).collect());
        let who = counted("container", &adds);
        details.push(format!("{who} must not include {} in securityContext.capabilities.add", quoted(&all)));
    }
    Violation::of("unrestricted capabilities", details, "; ")
}

fn volume_types(pod: &Object) -> Option<Violation> {
    let type_of = |volume: &Value| {
        let fields = volume.as_object()?.keys().find(|field| *field != "name")?;
        (!VOLUMES.contains(&fields.as_str())).then(|| fields.clone())
    };
    let volumes = pod.list(&["spec", "volumes"]);
    let names: Vec<String> = volumes.iter().filter(|volume| type_of(volume).is_some()).map(name).collect();
    let types = sorted(volumes.iter().filter_map(type_of).collect());
    let details = (!names.is_empty()).then(|| {
        let verb = if names.len() == 1 { "uses" } else { "use" };
        let what = plural("restricted volume type", types.len());
        format!("{} {verb} {what} {}", counted("volume", &names), quoted(&types))
    });
    Violation::of("restricted volume types", details.into_iter().collect(), "")
}

fn run_as_non_root(pod: &Object) -> Option<Violation> {
    if has_own_users(pod) { None } else { any_run_as_non_root(pod) }
}

fn any_run_as_non_root(pod: &Object) -> Option<Violation> {
    let of = |container: &Value| own(container, "/runAsNonRoot").and_then(Value::as_bool);
    let whole = of_pod(pod, "/runAsNonRoot").and_then(Value::as_bool);
    let explicit = failing(pod, |container| of(container) == Some(false));
    let implicit = failing(pod, |container| of(container).is_none());
    let mut who = Vec::new();
    if whole == Some(false) {
        who.push("pod".to_owned());
    }
    if !explicit.is_empty() {
        who.push(counted("container", &explicit));
    }
    let detail = if !who.is_empty() {
        format!("{} must not set securityContext.runAsNonRoot=false", who.join(" and "))
    } else if whole.is_none() && !implicit.is_empty() {
        format!("pod or {} must set securityContext.runAsNonRoot=true", counted("container", &implicit))
    } else {
        return None;
    };
    Violation::of("runAsNonRoot != true", vec![detail], "")
}

fn run_as_user(pod: &Object) -> Option<Violation> {
    if has_own_users(pod) { None } else { any_run_as_user(pod) }
}

fn any_run_as_user(pod: &Object) -> Option<Violation> {
    let is_root = |value: Option<&Value>| value.is_some_and(|value| value == 0);
    let mut who = Vec::new();
    if is_root(of_pod(pod, "/runAsUser")) {
        who.push("pod".to_owned());
    }
    let failing = failing(pod, |container| is_root(own(container, "/runAsUser")));
    if !failing.is_empty() {
        who.push(counted("container", &failing));
    }
    let details = (!who.is_empty()).then(|| format!("{} must not set runAsUser=0", who.join(" and ")));
    Violation::of("runAsUser=0", details.into_iter().collect(), "")
}

fn seccomp(pod: &Object) -> Option<Violation> {
    if is_windows(pod) {
        return None;
    }
    let fits = |value: &Value| value == "RuntimeDefault" || value == "Localhost";
    let whole = of_pod(pod, "/seccompProfile/type");
    let of = |container: &Value| own(container, "/seccompProfile/type").cloned();
    let explicit = failing(pod, |container| of(container).is_some_and(|value| !fits(&value)));
    let implicit = failing(pod, |container| of(container).is_none());
    let mut who = Vec::new();
    let mut types: Vec<String> = Vec::new();
    if let Some(kind) = whole.filter(|value| !fits(value)) {
        who.push("pod".to_owned());
        types.extend(kind.as_str().map(str::to_owned));
    }
    if !explicit.is_empty() {
        who.push(counted("container", &explicit));
        let of_containers = containers(pod).filter_map(of).filter(|value| !fits(value));
        types.extend(of_containers.filter_map(|value| value.as_str().map(str::to_owned)));
    }
    let detail = if !who.is_empty() {
        let types = quoted(&sorted(types));
        format!("{} must not set securityContext.seccompProfile.type to {types}", who.join(" and "))
    } else if whole.is_none() && !implicit.is_empty() {
        let who = counted("container", &implicit);
        format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"")
    } else {
        return None;
    };
    Violation::of("seccompProfile", vec![detail], "")
}
