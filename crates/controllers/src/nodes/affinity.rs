//! Which nodes a pod of a daemon set belongs on. (upstream: component-helpers/scheduling/corev1)

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration};
use kube::ResourceExt;

use super::decide::tolerates;

/// Whether the pod's node selector and required node affinity admit the node.
pub fn admits(spec: &PodSpec, node: &Node) -> bool {
    let label = |key: &str| node.metadata.labels.as_ref()?.get(key).map(String::as_str);
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| label(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| term_matches(term, node)))
}

fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let (expressions, fields) = (term.match_expressions.as_deref(), term.match_fields.as_deref());
    let (expressions, fields) = (expressions.unwrap_or_default(), fields.unwrap_or_default());
    // A term that asks for nothing admits nothing.
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let name = node.name_any();
    let labels = node.metadata.labels.as_ref();
    expressions.iter().all(|e| requirement_matches(e, labels.and_then(|labels| labels.get(&e.key)).map(String::as_str)))
        && fields.iter().all(|f| requirement_matches(f, (f.key == "metadata.name").then_some(name.as_str())))
}

fn requirement_matches(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|listed| listed == value));
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(value, bound)| value > bound),
        "Lt" => numbers().is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

/// Whether a taint with one of `effects` is not tolerated.
pub fn repels(taints: &[Taint], tolerations: &[Toleration], effects: &[&str]) -> bool {
    let counts = |taint: &&Taint| effects.contains(&taint.effect.as_str());
    taints.iter().filter(counts).any(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(requirement: &serde_json::Value, expected: bool) {
        let node: Node =
            serde_json::from_value(json!({ "metadata": { "name": "n1", "labels": { "disk": "ssd", "cores": "8" } } }))
                .unwrap();
        let spec: PodSpec = serde_json::from_value(json!({ "containers": [], "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchExpressions": [requirement] }] },
        }}}))
        .unwrap();
        assert_eq!(admits(&spec, &node), expected, "{requirement}");
    }

    #[test]
    fn every_operator_reads_labels() {
        check(&json!({ "key": "disk", "operator": "In", "values": ["ssd"] }), true);
        check(&json!({ "key": "disk", "operator": "NotIn", "values": ["ssd"] }), false);
        check(&json!({ "key": "gpu", "operator": "NotIn", "values": ["a"] }), true);
        check(&json!({ "key": "disk", "operator": "Exists" }), true);
        check(&json!({ "key": "disk", "operator": "DoesNotExist" }), false);
        check(&json!({ "key": "cores", "operator": "Gt", "values": ["4"] }), true);
        check(&json!({ "key": "cores", "operator": "Lt", "values": ["4"] }), false);
    }
}
