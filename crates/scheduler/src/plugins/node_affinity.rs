//! NodeAffinity: `nodeSelector`, required and preferred node affinity.

use k8s_openapi::api::core::v1::{NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm};

use super::{Filtered, normalize};
use crate::nodes::NodeInfo;
use crate::pods::PodInfo;

pub fn filter(pod: &PodInfo, node: &NodeInfo) -> Filtered {
    if matches(pod, node) {
        return Filtered::Fits;
    }
    Filtered::never("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
}

/// Whether the node is one that the pod's selector and required affinity allow.
pub fn matches(pod: &PodInfo, node: &NodeInfo) -> bool {
    let labels = node.labels();
    let selected = pod.spec().node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let required = affinity(pod).and_then(|of| of.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| fits(term, node)))
}

fn affinity(pod: &PodInfo) -> Option<&NodeAffinity> {
    pod.spec().affinity.as_ref()?.node_affinity.as_ref()
}

/// The sum of the weights of the preferences that a node meets.
pub fn scores(pod: &PodInfo, nodes: &[&NodeInfo]) -> Vec<i64> {
    let preferred = affinity(pod).and_then(|of| of.preferred_during_scheduling_ignored_during_execution.as_ref());
    let score = |node: &&NodeInfo| {
        let met = preferred.into_iter().flatten().filter(|term| fits(&term.preference, node));
        met.map(|term| i64::from(term.weight)).sum()
    };
    normalize(nodes.iter().map(score).collect(), false)
}

/// An empty term fits no node.
fn fits(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let label = |key: &str| node.labels().get(key).map(String::as_str);
    let field = |key: &str| (key == "metadata.name").then_some(node.name.as_str());
    expressions.iter().all(|of| requirement(of, label(&of.key)))
        && fields.iter().all(|of| requirement(of, field(&of.key)))
}

fn requirement(requirement: &NodeSelectorRequirement, actual: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_listed = || actual.is_some_and(|actual| values.iter().any(|value| value == actual));
    let compare = |holds: fn(&i64, &i64) -> bool| {
        let wanted = values.first().and_then(|value| value.parse::<i64>().ok());
        let actual = actual.and_then(|actual| actual.parse::<i64>().ok());
        actual.zip(wanted).is_some_and(|(actual, wanted)| holds(&actual, &wanted))
    };
    match requirement.operator.as_str() {
        "In" => is_listed(),
        "NotIn" => !is_listed(),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}
