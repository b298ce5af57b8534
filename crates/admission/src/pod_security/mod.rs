//! The pod security standards: what pods of a namespace may do to the machine.
//!
//! `enforce` refuses pods, `warn` tells the client, `audit` the audit log; of what makes pods, the last two look at the
//! template. (upstream: pod-security-admission/admission)

mod baseline;
mod check;
mod namespace;
mod policy;
mod restricted;
#[cfg(test)]
mod tests;

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::Value;

use crate::Admit;
use check::{Rule, Violation};
pub use policy::Configuration;
use policy::{Level, Policy, Standard, Version};

const ANNOTATION: &str = "pod-security.kubernetes.io";

/// Annotations by which old clients choose the profiles of a container.
const PROFILES: [&str; 2] =
    ["container.apparmor.security.beta.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/"];

/// Kinds that make pods, with where their pod template is.
const WORKLOADS: [(&str, &str, &[&str]); 8] = [
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];

pub fn validate(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    let Some(object) = object else { return Ok(()) };
    if !matches!(admit.request.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    if admit.is(Resource::NAMESPACES, "") {
        return namespace::validate(admit, object);
    }
    if ["", "ephemeralcontainers", "resize"].iter().any(|below| admit.is(Resource::PODS, below)) {
        return pod(admit, object);
    }
    workload(admit, object);
    Ok(())
}

fn pod(admit: &Admit<'_>, pod: &Object) -> Result<(), ApiError> {
    if admit.request.old.is_some_and(|old| !is_significant(pod, old)) {
        return Ok(());
    }
    evaluate(admit, pod, Some(pod))
}

/// Whether an update brings in something that may be against a standard: pods change in little else.
fn is_significant(pod: &Object, old: &Object) -> bool {
    check::CONTAINERS.iter().any(|list| {
        let (after, before) = (pod.list(&["spec", list]), old.list(&["spec", list]));
        let reprofiled = |container: &Value| {
            let name = container["name"].as_str().unwrap_or_default();
            PROFILES
                .iter()
                .map(|prefix| format!("{prefix}{name}"))
                .any(|key| pod.annotation(&key) != old.annotation(&key))
        };
        after.len() != before.len()
            || after.iter().zip(before).any(|(new, old)| new["image"] != old["image"] || reprofiled(new))
    })
}

fn workload(admit: &Admit<'_>, object: &Object) {
    let kind = admit.request.kind;
    let found = WORKLOADS.iter().find(|(group, resource, _)| (kind.group, kind.resource) == (*group, *resource));
    let Some((_, _, path)) = found.filter(|_| admit.request.subresource.is_empty()) else { return };
    if let Some(Value::Object(template)) = object.get(path) {
        let outcome = evaluate(admit, &Object(template.clone()), None);
        debug_assert!(outcome.is_ok(), "a template is refused by nothing");
    }
}

/// Holds a pod, or a template of pods, to what its namespace asks for. `enforced` is the pod that may be refused.
fn evaluate(admit: &Admit<'_>, pod: &Object, enforced: Option<&Object>) -> Result<(), ApiError> {
    let annotations = &admit.request.context.annotations;
    let note = |key: &str, value: String| annotations.add(format!("{ANNOTATION}/{key}"), value);
    if let Some(what) = exemption(admit, pod) {
        note("exempt", what.to_owned());
        return Ok(());
    }
    let Some(namespace) = admit.view.get(Resource::NAMESPACES, "", admit.request.namespace) else {
        let why = format!("failed to lookup namespace {:?}", admit.request.namespace);
        return enforced.map_or(Ok(()), |_| Err(ApiError::internal(why)));
    };
    let (Policy { enforce, audit, warn }, problems) =
        Policy::of_labels(&namespace.labels(), admit.options.pod_security.defaults);
    if !problems.is_empty() {
        note("error", format!("Failed to parse policy: {}", machinery::field::aggregate(&problems)));
    }
    let would =
        |standard: Standard, violations: &str| format!("would violate PodSecurity \"{standard}\": {violations}");
    if let Some(violations) = describe(audit, pod) {
        note("audit-violations", would(audit, &violations));
    }
    if let Some(refused) = enforced {
        note("enforce-policy", enforce.to_string());
        if let Some(violations) = describe(enforce, pod) {
            return Err(admit.forbidden(Some(refused), format!("violates PodSecurity \"{enforce}\": {violations}")));
        }
    }
    if let Some(violations) = describe(warn, pod) {
        admit.request.context.warnings.add(would(warn, &violations));
    }
    Ok(())
}

/// By what the request is held to no standard.
fn exemption(admit: &Admit<'_>, pod: &Object) -> Option<&'static str> {
    let exemptions = &admit.options.pod_security.exemptions;
    let has = |list: &[String], text: &str| list.iter().any(|of| of == text);
    let class = pod.str(&["spec", "runtimeClassName"]);
    match () {
        () if has(&exemptions.namespaces, admit.request.namespace) => Some("namespace"),
        () if has(&exemptions.users, &admit.request.context.user.name) => Some("user"),
        () if !class.is_empty() && has(&exemptions.runtime_classes, class) => Some("runtimeClass"),
        () => None,
    }
}

/// What of the pod is beyond the standard; nothing if all is within.
fn describe(standard: Standard, pod: &Object) -> Option<String> {
    let texts: Vec<String> = violations(standard, pod).iter().map(Violation::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn violations(standard: Standard, pod: &Object) -> Vec<Violation> {
    let rules: &[Rule] = match standard.level {
        Level::Privileged => &[],
        Level::Baseline => baseline::RULES,
        Level::Restricted => restricted::RULES,
    };
    let minor = match standard.version {
        Version::Minor(minor) => minor,
        Version::Latest => u16::MAX,
    };
    rules.iter().filter(|rule| rule.holds(minor)).filter_map(|rule| (rule.check)(pod)).collect()
}
