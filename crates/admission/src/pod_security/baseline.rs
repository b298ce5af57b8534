//! The baseline standard: no known ways to more privileges.

use machinery::Object;
use serde_json::Value;

use super::check::{
    Rule, Violation, containers, counted, failing, has_own_users, name, of_pod, own, plural, quoted, sorted, texts,
};

/// Sorted by upstream's names for them, which is the order of messages.
pub const RULES: &[Rule] = &[
    Rule::always(app_armor),
    Rule::always(capabilities),
    Rule::always(host_namespaces),
    Rule::always(host_path_volumes),
    Rule::always(host_ports),
    Rule::since(34, probe_hosts),
    Rule::always(privileged),
    Rule::until(35, any_proc_mount),
    Rule::since(35, proc_mount),
    Rule::always(selinux),
    Rule::always(seccomp),
    Rule::always(sysctls),
    Rule::always(windows_host_process),
];

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

const SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];

const SELINUX_TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

pub fn app_armor(pod: &Object) -> Option<Violation> {
    const WHAT: &str = "must not set AppArmor profile type to \"Unconfined\"";
    let unconfined = |value: Option<&Value>| value.is_some_and(|value| value == "Unconfined");
    let mut details = Vec::new();
    if unconfined(of_pod(pod, "/appArmorProfile/type")) {
        details.push(format!("pod {WHAT}"));
    }
    let failing = failing(pod, |container| unconfined(own(container, "/appArmorProfile/type")));
    if !failing.is_empty() {
        details.push(format!("{} {WHAT}", counted("container", &failing)));
    }
    let annotations = pod.strings(&["metadata", "annotations"]);
    let forbidden = annotations.iter().filter(|(key, value)| {
        key.starts_with("container.apparmor.security.beta.kubernetes.io/")
            && !(value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/"))
    });
    details.extend(forbidden.map(|(key, value)| format!("annotation {key}={value:?}")));
    Violation::of("forbidden AppArmor profile", details, ", ")
}

pub fn capabilities(pod: &Object) -> Option<Violation> {
    let foreign = |container: &Value| -> Vec<String> {
        let added = texts(own(container, "/capabilities/add"));
        added.filter(|capability| !CAPABILITIES.contains(capability)).map(str::to_owned).collect()
    };
    let failing = failing(pod, |container| !foreign(container).is_empty());
    let all = sorted(containers(pod).flat_map(foreign).collect());
    let details = (!failing.is_empty()).then(|| {
        let who = counted("container", &failing);
        format!("{who} must not include {} in securityContext.capabilities.add", quoted(&all))
    });
    Violation::of("non-default capabilities", details.into_iter().collect(), "")
}

pub fn host_namespaces(pod: &Object) -> Option<Violation> {
    let used = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| pod.bool(&["spec", field]));
    Violation::of("host namespaces", used.map(|field| format!("{field}=true")).collect(), ", ")
}

fn host_path_volumes(pod: &Object) -> Option<Violation> {
    let volumes = pod.list(&["spec", "volumes"]).iter().filter(|volume| volume.get("hostPath").is_some());
    let names: Vec<String> = volumes.map(name).collect();
    let details = (!names.is_empty()).then(|| counted("volume", &names));
    Violation::of("hostPath volumes", details.into_iter().collect(), "")
}

pub fn host_ports(pod: &Object) -> Option<Violation> {
    let ports = |container: &Value| -> Vec<String> {
        let ports = container["ports"].as_array().into_iter().flatten();
        ports
            .filter_map(|port| port["hostPort"].as_i64())
            .filter(|port| *port != 0)
            .map(|port| port.to_string())
            .collect()
    };
    let failing = failing(pod, |container| !ports(container).is_empty());
    let all = sorted(containers(pod).flat_map(ports).collect());
    let details = (!failing.is_empty()).then(|| {
        let verb = if failing.len() == 1 { "uses" } else { "use" };
        format!("{} {verb} {} {}", counted("container", &failing), plural("hostPort", all.len()), all.join(", "))
    });
    Violation::of("hostPort", details.into_iter().collect(), "")
}

/// A probe of another host than the pod lets the node knock there.
pub fn probe_hosts(pod: &Object) -> Option<Violation> {
    let paths = [
        "/livenessProbe/httpGet/host",
        "/readinessProbe/httpGet/host",
        "/startupProbe/httpGet/host",
        "/livenessProbe/tcpSocket/host",
        "/readinessProbe/tcpSocket/host",
        "/startupProbe/tcpSocket/host",
        "/lifecycle/postStart/httpGet/host",
        "/lifecycle/preStop/httpGet/host",
        "/lifecycle/postStart/tcpSocket/host",
        "/lifecycle/preStop/tcpSocket/host",
    ];
    let hosts = |container: &Value| -> Vec<String> {
        let hosts = paths.iter().filter_map(|path| container.pointer(path)?.as_str());
        hosts.filter(|host| !matches!(*host, "" | "127.0.0.1" | "::1")).map(str::to_owned).collect()
    };
    let failing = failing(pod, |container| !hosts(container).is_empty());
    let all = sorted(containers(pod).flat_map(hosts).collect());
    let details = (!failing.is_empty()).then(|| {
        let verb = if failing.len() == 1 { "uses" } else { "use" };
        let who = counted("container", &failing);
        format!("{who} {verb} probe or lifecycle {} {}", plural("host", all.len()), quoted(&all))
    });
    Violation::of("probe or lifecycle host", details.into_iter().collect(), "")
}

pub fn privileged(pod: &Object) -> Option<Violation> {
    let failing = failing(pod, |container| own(container, "/privileged").is_some_and(|value| value == true));
    let details = (!failing.is_empty())
        .then(|| format!("{} must not set securityContext.privileged=true", counted("container", &failing)));
    Violation::of("privileged", details.into_iter().collect(), "")
}

/// In a user namespace of its own a pod may mount what it likes.
fn proc_mount(pod: &Object) -> Option<Violation> {
    if has_own_users(pod) { None } else { any_proc_mount(pod) }
}

pub fn any_proc_mount(pod: &Object) -> Option<Violation> {
    let forbidden = |container: &Value| own(container, "/procMount").filter(|value| **value != "Default").cloned();
    let failing = failing(pod, |container| forbidden(container).is_some());
    let kinds = containers(pod).filter_map(forbidden).filter_map(|value| value.as_str().map(str::to_owned));
    let kinds = sorted(kinds.collect());
    let details = (!failing.is_empty()).then(|| {
        format!("{} must not set securityContext.procMount to {}", counted("container", &failing), quoted(&kinds))
    });
    Violation::of("procMount", details.into_iter().collect(), "")
}

pub fn selinux(pod: &Object) -> Option<Violation> {
    let bad = |options: Option<&Value>| {
        options.is_some_and(|options| {
            let text = |field: &str| options[field].as_str().unwrap_or_default();
            !SELINUX_TYPES.contains(&text("type")) || !text("user").is_empty() || !text("role").is_empty()
        })
    };
    let mut who = Vec::new();
    let mut options = Vec::new();
    if let Some(own) = of_pod(pod, "/seLinuxOptions").filter(|options| bad(Some(options))) {
        who.push("pod".to_owned());
        options.push(own.clone());
    }
    let failing = failing(pod, |container| bad(own(container, "/seLinuxOptions")));
    if !failing.is_empty() {
        who.push(counted("container", &failing));
        let of_containers = containers(pod).filter_map(|container| own(container, "/seLinuxOptions"));
        options.extend(of_containers.filter(|options| bad(Some(options))).cloned());
    }
    let details = (!who.is_empty()).then(|| {
        format!("{} set forbidden securityContext.seLinuxOptions: {}", who.join(" and "), selinux_values(&options))
    });
    Violation::of("seLinuxOptions", details.into_iter().collect(), "")
}

fn selinux_values(options: &[Value]) -> String {
    let mut parts = Vec::new();
    let values = |field: &str| {
        sorted(
            options.iter().filter_map(|of| of[field].as_str()).filter(|of| !of.is_empty()).map(str::to_owned).collect(),
        )
    };
    let types: Vec<String> = values("type").into_iter().filter(|of| !SELINUX_TYPES.contains(&of.as_str())).collect();
    if !types.is_empty() {
        parts.push(format!("{} {}", plural("type", types.len()), quoted(&types)));
    }
    for field in ["user", "role"] {
        if !values(field).is_empty() {
            parts.push(format!("{field} may not be set"));
        }
    }
    parts.join("; ")
}

pub fn seccomp(pod: &Object) -> Option<Violation> {
    const WHAT: &str = "must not set securityContext.seccompProfile.type to \"Unconfined\"";
    let unconfined = |value: Option<&Value>| value.is_some_and(|value| value == "Unconfined");
    let mut who = Vec::new();
    if unconfined(of_pod(pod, "/seccompProfile/type")) {
        who.push("pod".to_owned());
    }
    let failing = failing(pod, |container| unconfined(own(container, "/seccompProfile/type")));
    if !failing.is_empty() {
        who.push(counted("container", &failing));
    }
    let details = (!who.is_empty()).then(|| format!("{} {WHAT}", who.join(" and ")));
    Violation::of("seccompProfile", details.into_iter().collect(), "")
}

pub fn sysctls(pod: &Object) -> Option<Violation> {
    let names = pod.list(&["spec", "securityContext", "sysctls"]).iter().filter_map(|sysctl| sysctl["name"].as_str());
    let forbidden = names.filter(|name| !SYSCTLS.contains(name)).map(str::to_owned);
    Violation::of("forbidden sysctls", forbidden.collect(), ", ")
}

pub fn windows_host_process(pod: &Object) -> Option<Violation> {
    const PATH: &str = "/windowsOptions/hostProcess";
    let is_set = |value: Option<&Value>| value.is_some_and(|value| value == true);
    let mut who = Vec::new();
    if is_set(of_pod(pod, PATH)) {
        who.push("pod".to_owned());
    }
    let failing = failing(pod, |container| is_set(own(container, PATH)));
    if !failing.is_empty() {
        who.push(counted("container", &failing));
    }
    let details = (!who.is_empty())
        .then(|| format!("{} must not set securityContext.windowsOptions.hostProcess=true", who.join(" and ")));
    Violation::of("hostProcess", details.into_iter().collect(), "")
}
