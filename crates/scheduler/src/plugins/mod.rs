//! Filters and scores, each in a file of upstream's name. All are pure.

mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_ports;
mod node_resources;
mod taint_toleration;
mod topology_spread;

use crate::nodes::{NodeInfo, Snapshot};
use crate::pods::PodInfo;

/// The highest score of one plugin.
const MAX_SCORE: i64 = 100;

/// What the filters say of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filtered {
    Fits,
    Fails {
        plugin: &'static str,
        /// Upstream's texts.
        reasons: Vec<String>,
        /// Removing pods from the node would not help.
        unresolvable: bool,
    },
}

impl Filtered {
    fn fails(plugin: &'static str, reason: impl Into<String>) -> Self {
        Self::Fails { plugin, reasons: vec![reason.into()], unresolvable: false }
    }

    fn never(plugin: &'static str, reason: impl Into<String>) -> Self {
        Self::Fails { plugin, reasons: vec![reason.into()], unresolvable: true }
    }
}

/// Filters with what they count over all nodes, counted once a pod.
pub struct Filters {
    spread: topology_spread::Filter,
    affinity: inter_pod_affinity::Filter,
}

pub fn prepare_filters(pod: &PodInfo, snapshot: &Snapshot) -> Filters {
    Filters {
        spread: topology_spread::Filter::new(pod, snapshot),
        affinity: inter_pod_affinity::Filter::new(pod, snapshot),
    }
}

impl Filters {
    /// The first filter that says no, in upstream's order.
    pub fn run(&self, pod: &PodInfo, node: &NodeInfo) -> Filtered {
        let filters: [&dyn Fn() -> Filtered; 8] = [
            &|| unschedulable(pod, node),
            &|| node_name(pod, node),
            &|| taint_toleration::filter(pod, node),
            &|| node_affinity::filter(pod, node),
            &|| node_ports::filter(pod, node),
            &|| node_resources::filter(pod, node),
            &|| self.spread.run(pod, node),
            &|| self.affinity.run(node),
        ];
        filters.into_iter().map(|filter| filter()).find(|result| *result != Filtered::Fits).unwrap_or(Filtered::Fits)
    }
}

fn unschedulable(pod: &PodInfo, node: &NodeInfo) -> Filtered {
    const TAINT: &str = "node.kubernetes.io/unschedulable";
    let tolerated = || taint_toleration::tolerates(pod.tolerations(), TAINT, "", "NoSchedule");
    if node.is_unschedulable() && !tolerated() {
        return Filtered::never("NodeUnschedulable", "node(s) were unschedulable");
    }
    Filtered::Fits
}

fn node_name(pod: &PodInfo, node: &NodeInfo) -> Filtered {
    match pod.spec().node_name.as_deref() {
        Some(name) if !name.is_empty() && name != node.name => {
            Filtered::never("NodeName", "node(s) didn't match the requested node name")
        }
        _ => Filtered::Fits,
    }
}

/// The weighted sum of all scores, for each node.
pub fn scores(pod: &PodInfo, nodes: &[&NodeInfo], snapshot: &Snapshot) -> Vec<i64> {
    let weighted = [
        (3, taint_toleration::scores(pod, nodes)),
        (2, node_affinity::scores(pod, nodes)),
        (1, nodes.iter().map(|node| node_resources::least_allocated(pod, node)).collect()),
        (1, nodes.iter().map(|node| node_resources::balanced_allocation(pod, node)).collect()),
        (2, topology_spread::scores(pod, nodes, snapshot)),
        (2, inter_pod_affinity::scores(pod, nodes, snapshot)),
        (1, image_locality::scores(pod, nodes, snapshot)),
    ];
    let sum = |index: usize| weighted.iter().map(|(weight, scores)| weight * scores[index]).sum();
    (0..nodes.len()).map(sum).collect()
}

/// Stretches scores so that the highest becomes [`MAX_SCORE`]; `reverse` makes the lowest the best.
fn normalize(mut scores: Vec<i64>, reverse: bool) -> Vec<i64> {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in &mut scores {
        let stretched = if highest == 0 { 0 } else { MAX_SCORE * *score / highest };
        *score = if reverse { MAX_SCORE - stretched } else { stretched };
    }
    scores
}

#[cfg(test)]
mod tests;
