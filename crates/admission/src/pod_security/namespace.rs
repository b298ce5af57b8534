//! Labels of Namespaces: they must be understood, and tell of pods that are already beyond them.

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;
use std::collections::BTreeMap;

use super::check::Violation;
use super::policy::{Level, Policy, Standard};
use super::violations;
use crate::Admit;

/// Pods that are looked at when a standard becomes stricter.
const PODS_MAX: usize = 3000;

pub fn validate(admit: &Admit<'_>, namespace: &Object) -> Result<(), ApiError> {
    let of = |namespace: &Object| Policy::of_labels(&namespace.labels(), admit.options.pod_security.defaults);
    let (new, errors) = of(namespace);
    let old = admit.request.old.filter(|_| admit.request.operation == Operation::Update).map(of);
    if !errors.is_empty() && old.as_ref().is_none_or(|(_, before)| *before != errors) {
        return Err(ApiError::invalid(&namespace.gvk(), namespace.name(), &errors));
    }
    if let Some((old, _)) = old.filter(|(old, _)| is_stricter(new.enforce, old.enforce)) {
        debug_assert_ne!(old.enforce, new.enforce);
        if !admit.options.pod_security.exemptions.namespaces.iter().any(|exempt| exempt == namespace.name()) {
            let pods = admit.view.list(Resource::PODS, namespace.name());
            for warning in warnings(namespace.name(), new.enforce, &pods) {
                admit.request.context.warnings.add(warning);
            }
        }
    }
    Ok(())
}

/// Whether pods that passed may no longer.
fn is_stricter(new: Standard, old: Standard) -> bool {
    new != old && new.level != Level::Privileged && (new.version != old.version || new.level > old.level)
}

/// Tells of pods that would be refused now, those that are so for the same reasons together.
fn warnings(namespace: &str, standard: Standard, pods: &[Object]) -> Vec<String> {
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods.iter().take(PODS_MAX) {
        let reasons: Vec<&str> = violations(standard, pod).iter().map(Violation::reason).collect();
        if !reasons.is_empty() {
            by_reason.entry(reasons.join(", ")).or_default().push(pod.name());
        }
    }
    let mut warnings = Vec::new();
    if pods.len() > PODS_MAX {
        let all = pods.len();
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {PODS_MAX} of {all} existing pods"
        ));
    }
    if !by_reason.is_empty() {
        warnings.push(format!(
            "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut of_pods: Vec<String> = by_reason.into_iter().map(|(reason, pods)| of_pods(&reason, pods)).collect();
    of_pods.sort();
    warnings.extend(of_pods);
    warnings
}

fn of_pods(reason: &str, mut pods: Vec<&str>) -> String {
    pods.sort_unstable();
    let first = pods[0];
    match pods.len() - 1 {
        0 => format!("{first}: {reason}"),
        1 => format!("{first} (and 1 other pod): {reason}"),
        others => format!("{first} (and {others} other pods): {reason}"),
    }
}
