//! One decision: filter the nodes, score those that fit, pick the best.

use std::collections::BTreeMap;
use std::fmt;

use crate::nodes::{NodeInfo, Snapshot};
use crate::plugins::{self, Filtered};
use crate::pods::PodInfo;

/// Clusters up to this size are looked at whole.
const ALWAYS_ALL_NODES: usize = 100;
const MIN_PERCENTAGE: usize = 5;

/// Why no node fits: how many there are, and how many failed for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FitError {
    pub nodes: usize,
    pub reasons: BTreeMap<String, usize>,
    /// The plugins that said no: what they look at decides which changes are worth another try.
    pub plugins: std::collections::BTreeSet<&'static str>,
    /// No change of the cluster but of the nodes themselves can help: removing pods would not.
    pub unresolvable: bool,
}

impl fmt::Display for FitError {
    /// Upstream's text, which people and autoscalers read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return f.write_str("no nodes available to schedule pods");
        }
        let mut reasons: Vec<String> = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        reasons.sort();
        write!(f, "0/{} nodes are available: {}.", self.nodes, reasons.join(", "))
    }
}

/// Picks a node for a pod. `start` is where the search begins, and grows so that no node is favoured.
///
/// In large clusters the search ends when enough nodes fit, as upstream's does.
pub fn schedule(pod: &PodInfo, snapshot: &Snapshot, start: &mut usize) -> Result<String, FitError> {
    let nodes = &snapshot.nodes;
    if nodes.is_empty() {
        return Err(FitError::default());
    }
    let filters = plugins::prepare_filters(pod, snapshot);
    let enough = enough_nodes(nodes.len());
    let mut fitting: Vec<&NodeInfo> = Vec::new();
    let mut error = FitError { nodes: nodes.len(), unresolvable: true, ..FitError::default() };
    let mut looked_at = 0;
    let mut helpable = false;
    for offset in 0..nodes.len() {
        let node = &nodes[(*start + offset) % nodes.len()];
        looked_at += 1;
        match filters.run(pod, node) {
            Filtered::Fits => fitting.push(node),
            Filtered::Fails { plugin, reasons, unresolvable } => {
                error.plugins.insert(plugin);
                helpable |= !unresolvable;
                for reason in reasons {
                    *error.reasons.entry(reason).or_default() += 1;
                }
            }
        }
        if fitting.len() >= enough {
            break;
        }
    }
    *start = (*start + looked_at) % nodes.len();
    error.unresolvable = !helpable;
    match fitting.as_slice() {
        [] => Err(error),
        [only] => Ok(only.name.clone()),
        several => Ok(best(pod, several, snapshot)),
    }
}

fn enough_nodes(all: usize) -> usize {
    if all <= ALWAYS_ALL_NODES {
        return all;
    }
    let percentage = 50_usize.saturating_sub(all / 125).max(MIN_PERCENTAGE);
    (all * percentage / 100).max(ALWAYS_ALL_NODES)
}

/// The node with the highest score; of equals, any.
fn best(pod: &PodInfo, nodes: &[&NodeInfo], snapshot: &Snapshot) -> String {
    let scores = plugins::scores(pod, nodes, snapshot);
    let highest = scores.iter().copied().max().unwrap_or(0);
    let equals: Vec<&NodeInfo> =
        nodes.iter().zip(&scores).filter(|(_, score)| **score == highest).map(|(node, _)| *node).collect();
    equals[clock::random_below(equals.len())].name.clone()
}
