//! PodTopologySpread: pods of a kind spread over zones, nodes, or whatever a label names.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use machinery::selector::LabelSelector;

use super::{Filtered, MAX_SCORE, node_affinity, taint_toleration};
use crate::nodes::{NodeInfo, Snapshot};
use crate::pods::{PodInfo, selector};

const NAME: &str = "PodTopologySpread";
const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

struct Constraint {
    key: String,
    max_skew: i64,
    min_domains: Option<i64>,
    selector: LabelSelector,
    /// Matching pods in each domain of nodes that count.
    domains: BTreeMap<String, i64>,
}

/// Constraints that must hold, with the pods of each domain counted.
pub struct Filter(Vec<Constraint>);

impl Filter {
    pub fn new(pod: &PodInfo, snapshot: &Snapshot) -> Self {
        let hard = constraints(pod).filter(|of| of.when_unsatisfiable == "DoNotSchedule");
        Self(hard.map(|constraint| count(pod, constraint, snapshot)).collect())
    }

    pub fn run(&self, pod: &PodInfo, node: &NodeInfo) -> Filtered {
        for constraint in &self.0 {
            let Some(domain) = node.labels().get(&constraint.key) else {
                let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Filtered::never(NAME, reason);
            };
            let itself = i64::from(constraint.selector.matches_map(pod.labels()));
            let here = constraint.domains.get(domain).copied().unwrap_or(0);
            if here + itself - constraint.fewest() > constraint.max_skew {
                return Filtered::fails(NAME, "node(s) didn't match pod topology spread constraints");
            }
        }
        Filtered::Fits
    }
}

impl Constraint {
    /// Pods of the emptiest domain; none when there are fewer domains than there should be.
    fn fewest(&self) -> i64 {
        let domains = i64::try_from(self.domains.len()).unwrap_or(i64::MAX);
        if self.min_domains.is_some_and(|min| domains < min) {
            return 0;
        }
        self.domains.values().copied().min().unwrap_or(0)
    }
}

fn constraints(pod: &PodInfo) -> impl Iterator<Item = &TopologySpreadConstraint> {
    pod.spec().topology_spread_constraints.iter().flatten()
}

fn count(pod: &PodInfo, constraint: &TopologySpreadConstraint, snapshot: &Snapshot) -> Constraint {
    let selector = constraint_selector(pod, constraint);
    let mut domains = BTreeMap::new();
    let honor_affinity = constraint.node_affinity_policy.as_deref() != Some("Ignore");
    let honor_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
    for node in &snapshot.nodes {
        let counts = (!honor_affinity || node_affinity::matches(pod, node))
            && (!honor_taints || taint_toleration::filter(pod, node) == Filtered::Fits);
        if let Some(domain) = node.labels().get(&constraint.topology_key).filter(|_| counts) {
            *domains.entry(domain.clone()).or_default() += matching(pod, node, &selector);
        }
    }
    Constraint {
        key: constraint.topology_key.clone(),
        max_skew: constraint.max_skew.into(),
        min_domains: constraint.min_domains.map(Into::into),
        selector,
        domains,
    }
}

/// The constraint's selector, narrowed to the pod's own values of `matchLabelKeys`.
fn constraint_selector(pod: &PodInfo, constraint: &TopologySpreadConstraint) -> LabelSelector {
    let Some(mut narrowed) = constraint.label_selector.clone() else { return LabelSelector::nothing() };
    for key in constraint.match_label_keys.iter().flatten() {
        if let Some(value) = pod.labels().get(key) {
            narrowed.match_labels.get_or_insert_default().insert(key.clone(), value.clone());
        }
    }
    selector(Some(&narrowed))
}

fn matching(pod: &PodInfo, node: &NodeInfo, selector: &LabelSelector) -> i64 {
    let alike = node.pods.iter().filter(|other| {
        other.namespace() == pod.namespace()
            && other.pod.metadata.deletion_timestamp.is_none()
            && selector.matches_map(other.labels())
    });
    i64::try_from(alike.count()).unwrap_or(i64::MAX)
}

/// Fewer matching pods in a node's domains are better. A pod without constraints of its own is spread over
/// zones and nodes beside the pods of its owner's selector, which its labels stand for.
pub fn scores(pod: &PodInfo, nodes: &[&NodeInfo], snapshot: &Snapshot) -> Vec<i64> {
    let soft: Vec<Constraint> = if pod.spec().topology_spread_constraints.as_ref().is_none_or(Vec::is_empty) {
        default_constraints(pod).iter().map(|constraint| count(pod, constraint, snapshot)).collect()
    } else {
        let soft = constraints(pod).filter(|of| of.when_unsatisfiable == "ScheduleAnyway");
        soft.map(|constraint| count(pod, constraint, snapshot)).collect()
    };
    if soft.is_empty() {
        return vec![0; nodes.len()];
    }
    let raw: Vec<f64> = nodes.iter().map(|node| soft.iter().map(|of| crowd(of, node)).sum()).collect();
    let (low, high) = raw.iter().fold((f64::MAX, 0_f64), |(low, high), of| (low.min(*of), high.max(*of)));
    let spread =
        |crowd: &f64| if high == 0.0 { MAX_SCORE } else { (MAX_SCORE as f64 * (high + low - crowd) / high) as i64 };
    raw.iter().map(spread).collect()
}

/// How crowded the node's domain is; more domains make each pod weigh more.
fn crowd(constraint: &Constraint, node: &NodeInfo) -> f64 {
    let Some(domain) = node.labels().get(&constraint.key) else { return 0.0 };
    let weight = (constraint.domains.len() as f64 + 2.0).ln();
    constraint.domains.get(domain).copied().unwrap_or(0) as f64 * weight + (constraint.max_skew - 1) as f64
}

/// Upstream's cluster defaults: zones with a skew of five, nodes with a skew of three, neither a must.
fn default_constraints(pod: &PodInfo) -> Vec<TopologySpreadConstraint> {
    let owned = pod.pod.metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true));
    let labels: BTreeMap<String, String> = pod.labels().clone();
    if !owned || labels.is_empty() {
        return Vec::new();
    }
    let constraint = |key: &str, max_skew| TopologySpreadConstraint {
        topology_key: key.to_owned(),
        max_skew,
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
            match_labels: Some(labels.clone()),
            match_expressions: None,
        }),
        ..TopologySpreadConstraint::default()
    };
    vec![constraint(ZONE, 5), constraint(HOST, 3)]
}
