//! Which nodes get, keep, lose or exchange their daemon pod. (upstream: pkg/controller/daemon)

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    pub name: String,
    pub created: Timestamp,
    /// Made from the present template.
    pub updated: bool,
    pub terminating: bool,
    pub failed: bool,
    pub succeeded: bool,
    pub ready: bool,
    pub available_in: Option<Duration>,
}

/// A node, or one that pods are still bound to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeView {
    pub should_run: bool,
    /// A pod that is there may stay.
    pub may_stay: bool,
    pub pods: Vec<PodView>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub nodes: BTreeMap<String, NodeView>,
    pub on_delete: bool,
    pub max_unavailable: usize,
    pub max_surge: usize,
    pub deleting: bool,
    pub in_flight: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Create { node: String },
    Delete { pod: String, node: String, why: Why },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Failed,
    Succeeded,
    Surplus,
    Outdated,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub desired: usize,
    pub current: usize,
    pub misscheduled: usize,
    pub ready: usize,
    pub available: usize,
    pub updated: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub counts: Counts,
    pub requeue_after: Option<Duration>,
}

pub fn decide(view: &View) -> Plan {
    let pods = view.nodes.values().flat_map(|node| &node.pods).filter(|pod| !pod.terminating);
    let requeue_after = pods.filter_map(|pod| pod.available_in).filter(|wait| !wait.is_zero()).min();
    let mut plan = Plan { actions: Vec::new(), counts: count(view), requeue_after };
    if view.deleting || view.in_flight {
        return plan;
    }
    for (name, node) in &view.nodes {
        place(view, name, node, &mut plan.actions);
    }
    // Places first: an exchange is judged by pods that are where they belong.
    if plan.actions.is_empty() && !view.on_delete {
        if view.max_surge > 0 { surge(view, &mut plan.actions) } else { exchange(view, &mut plan.actions) }
    }
    plan
}

fn delete(pod: &PodView, node: &str, why: Why) -> Action {
    Action::Delete { pod: pod.name.clone(), node: node.to_owned(), why }
}

fn is_live(pod: &PodView) -> bool {
    !pod.terminating && !pod.failed && !pod.succeeded
}

fn is_available(pod: &PodView) -> bool {
    is_live(pod) && pod.available_in == Some(Duration::ZERO)
}

fn place(view: &View, name: &str, node: &NodeView, actions: &mut Vec<Action>) {
    if node.should_run && node.pods.is_empty() {
        actions.push(Action::Create { node: name.to_owned() });
    }
    if !node.may_stay {
        let leaving = node.pods.iter().filter(|pod| !pod.terminating);
        actions.extend(leaving.map(|pod| delete(pod, name, Why::Surplus)));
        return;
    }
    for pod in node.pods.iter().filter(|pod| !pod.terminating) {
        match (pod.failed, pod.succeeded) {
            (true, _) => actions.push(delete(pod, name, Why::Failed)),
            (_, true) => actions.push(delete(pod, name, Why::Succeeded)),
            _ => {}
        }
    }
    actions.extend(doubles(view, node).into_iter().map(|pod| delete(pod, name, Why::Surplus)));
}

/// Of several pods on a node the oldest stays; while surging, one old and one new may stay.
fn doubles<'a>(view: &View, node: &'a NodeView) -> Vec<&'a PodView> {
    let mut live: Vec<&PodView> = node.pods.iter().filter(|pod| is_live(pod)).collect();
    live.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.name.cmp(&b.name)));
    if view.max_surge == 0 {
        return live.into_iter().skip(1).collect();
    }
    let (new, old): (Vec<_>, Vec<_>) = live.into_iter().partition(|pod| pod.updated);
    new.into_iter().skip(1).chain(old.into_iter().skip(1)).collect()
}

/// The live pods of a node: the outdated one and the updated one.
fn pair(node: &NodeView) -> (Option<&PodView>, Option<&PodView>) {
    let find = |updated| node.pods.iter().find(|pod| !pod.terminating && pod.updated == updated);
    (find(false), find(true))
}

/// Deletes outdated pods: those that are not available at once, others as far as some may be missing.
fn exchange(view: &View, actions: &mut Vec<Action>) {
    let mut missing = 0;
    let mut candidates = Vec::new();
    for (name, node) in view.nodes.iter().filter(|(_, node)| node.should_run) {
        match pair(node) {
            (Some(old), None) if is_available(old) => candidates.push(delete(old, name, Why::Outdated)),
            (Some(old), None) => {
                missing += 1;
                actions.push(delete(old, name, Why::Outdated));
            }
            (None, Some(new)) if is_available(new) => {}
            _ => missing += 1,
        }
    }
    candidates.truncate(view.max_unavailable.saturating_sub(missing));
    actions.extend(candidates);
}

/// Makes updated pods beside the old ones, and deletes the old when the new are available.
fn surge(view: &View, actions: &mut Vec<Action>) {
    let mut surging = 0;
    let mut candidates = Vec::new();
    for (name, node) in view.nodes.iter().filter(|(_, node)| node.should_run) {
        match pair(node) {
            (Some(old), None) if is_available(old) => candidates.push(Action::Create { node: name.clone() }),
            (Some(_), None) => actions.push(Action::Create { node: name.clone() }),
            (Some(old), Some(new)) if is_available(new) || !is_available(old) => {
                actions.push(delete(old, name, Why::Outdated));
            }
            (Some(_), Some(_)) => surging += 1,
            _ => {}
        }
    }
    candidates.truncate(view.max_surge.saturating_sub(surging));
    actions.extend(candidates);
}

fn count(view: &View) -> Counts {
    let mut counts = Counts::default();
    for node in view.nodes.values() {
        if !node.should_run {
            counts.misscheduled += usize::from(!node.pods.is_empty());
            continue;
        }
        counts.desired += 1;
        // The oldest pod stands for its node.
        let Some(pod) = node.pods.iter().min_by_key(|pod| pod.created) else { continue };
        counts.current += 1;
        counts.ready += usize::from(pod.ready);
        counts.available += usize::from(pod.ready && pod.available_in == Some(Duration::ZERO));
        counts.updated += usize::from(pod.updated || node.pods.iter().any(|pod| pod.updated && is_available(pod)));
    }
    counts
}
