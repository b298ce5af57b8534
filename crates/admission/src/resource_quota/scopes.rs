//! Which objects a quota counts.

use kinds::KindDef;
use machinery::Object;
use serde_json::{Value, json};

use crate::pods::lasting_containers;

/// A quota without scopes counts everything; scopes speak of pods alone, and all must fit.
pub fn fits(quota: &Object, kind: &KindDef, object: &Object) -> bool {
    let scopes = quota.list(&["spec", "scopes"]).iter().map(|scope| json!({"scopeName": scope, "operator": "Exists"}));
    let expressions = quota.list(&["spec", "scopeSelector", "matchExpressions"]).iter().cloned();
    let mut wanted = scopes.chain(expressions).peekable();
    if wanted.peek().is_none() {
        return true;
    }
    (kind.group, kind.resource) == ("", "pods") && wanted.all(|scope| matches(&scope, object))
}

fn matches(scope: &Value, pod: &Object) -> bool {
    match scope["scopeName"].as_str().unwrap_or_default() {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => priority_class(scope, pod.str(&["spec", "priorityClassName"])),
        "CrossNamespacePodAffinity" => has_cross_namespace_affinity(pod),
        _ => false,
    }
}

fn is_terminating(pod: &Object) -> bool {
    pod.int(&["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0)
}

fn is_best_effort(pod: &Object) -> bool {
    let names_any = |resources: Option<&Value>| {
        let lists = ["requests", "limits"].into_iter().filter_map(|list| resources?.get(list)?.as_object());
        lists.into_iter().any(|amounts| !amounts.is_empty())
    };
    !names_any(pod.get(&["spec", "resources"]))
        && !lasting_containers(pod).any(|container| names_any(container.get("resources")))
}

fn priority_class(expression: &Value, class: &str) -> bool {
    let values = expression["values"].as_array().into_iter().flatten();
    let listed = values.into_iter().any(|value| value == class);
    match expression["operator"].as_str().unwrap_or_default() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => !class.is_empty(),
        "DoesNotExist" => class.is_empty(),
        _ => false,
    }
}

fn has_cross_namespace_affinity(pod: &Object) -> bool {
    let crosses = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|list| !list.is_empty()) || term.get("namespaceSelector").is_some()
    };
    ["podAffinity", "podAntiAffinity"].into_iter().any(|affinity| {
        let list = |name: &str| pod.list(&["spec", "affinity", affinity, name]).iter();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || list("preferredDuringSchedulingIgnoredDuringExecution").any(|of| crosses(&of["podAffinityTerm"]))
    })
}
