//! How many pods to make, and which to remove. (upstream: pkg/controller/replicaset)

use std::cmp::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use crate::podset::BURST_MAX;

/// A pod that the replica set manages or may adopt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    pub name: String,
    pub uid: String,
    /// Managed by this replica set; otherwise it has no manager.
    pub owned: bool,
    /// The selector matches its labels.
    pub matches: bool,
    /// It has all labels of the template.
    pub fully_labeled: bool,
    pub terminating: bool,
    /// Succeeded or failed.
    pub finished: bool,
    pub ready: bool,
    /// How long a ready pod has yet to stay ready to be available; nothing if it is not ready.
    pub available_in: Option<Duration>,
    pub order: Order,
}

/// What the order of removal looks at. (upstream: ActivePodsWithRanks)
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    pub assigned: bool,
    pub phase: Phase,
    pub ready: bool,
    /// `controller.kubernetes.io/pod-deletion-cost`
    pub deletion_cost: i32,
    /// Active pods of the same owner's replica sets on the same node.
    pub rank: usize,
    pub ready_for: Option<Duration>,
    pub restarts: i32,
    pub age: Option<Duration>,
    pub uid: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    #[default]
    Pending,
    Unknown,
    Running,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub desired: usize,
    pub deleting: bool,
    /// Creates or deletes were sent that the cache does not show yet.
    pub in_flight: bool,
    pub pods: Vec<PodView>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Adopt { pod: String },
    Release { pod: String },
    Create { count: usize },
    Delete { pod: String, uid: String },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub replicas: usize,
    pub fully_labeled: usize,
    pub ready: usize,
    pub available: usize,
    pub terminating: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub counts: Counts,
    /// When the next pod becomes available without an event.
    pub requeue_after: Option<Duration>,
}

pub fn decide(view: &View) -> Plan {
    let (claims, mine) = claim(view);
    let active: Vec<&PodView> = mine.iter().copied().filter(|pod| is_active(pod)).collect();
    let mut plan = Plan { actions: claims, counts: count(&mine, &active), requeue_after: next_available(&active) };
    if view.deleting || view.in_flight {
        return plan;
    }
    match active.len().cmp(&view.desired) {
        Ordering::Less => plan.actions.push(Action::Create { count: (view.desired - active.len()).min(BURST_MAX) }),
        Ordering::Equal => {}
        Ordering::Greater => plan.actions.extend(victims(&active, (active.len() - view.desired).min(BURST_MAX))),
    }
    plan
}

fn is_active(pod: &PodView) -> bool {
    !pod.terminating && !pod.finished
}

/// Adopts matching orphans, releases pods that match no more, and answers with the pods to count.
fn claim(view: &View) -> (Vec<Action>, Vec<&PodView>) {
    let mut actions = Vec::new();
    let mut mine = Vec::new();
    for pod in &view.pods {
        match (pod.owned, pod.matches) {
            (true, true) => mine.push(pod),
            (true, false) if !view.deleting => actions.push(Action::Release { pod: pod.name.clone() }),
            (false, true) if !view.deleting && is_active(pod) => {
                actions.push(Action::Adopt { pod: pod.name.clone() });
                mine.push(pod);
            }
            _ => {}
        }
    }
    (actions, mine)
}

fn count(mine: &[&PodView], active: &[&PodView]) -> Counts {
    Counts {
        replicas: active.len(),
        fully_labeled: active.iter().filter(|pod| pod.fully_labeled).count(),
        ready: active.iter().filter(|pod| pod.ready).count(),
        available: active.iter().filter(|pod| pod.available_in == Some(Duration::ZERO)).count(),
        terminating: mine.iter().filter(|pod| pod.terminating && !pod.finished).count(),
    }
}

fn next_available(active: &[&PodView]) -> Option<Duration> {
    active.iter().filter_map(|pod| pod.available_in).filter(|wait| !wait.is_zero()).min()
}

fn victims(active: &[&PodView], count: usize) -> Vec<Action> {
    let mut ordered = active.to_vec();
    ordered.sort_by(|a, b| removal_order(&a.order, &b.order));
    let chosen = ordered.into_iter().take(count);
    chosen.map(|pod| Action::Delete { pod: pod.name.clone(), uid: pod.uid.clone() }).collect()
}

/// The pod that goes first is the least one.
pub fn removal_order(a: &Order, b: &Order) -> Ordering {
    a.assigned
        .cmp(&b.assigned)
        .then(a.phase.cmp(&b.phase))
        .then(a.ready.cmp(&b.ready))
        .then(a.deletion_cost.cmp(&b.deletion_cost))
        .then(b.rank.cmp(&a.rank))
        .then_with(|| by_magnitude(a.ready_for, b.ready_for, a, b))
        .then(b.restarts.cmp(&a.restarts))
        .then_with(|| by_magnitude(a.age, b.age, a, b))
}

/// Younger first, but times of the same magnitude (power of two) are told apart by uid alone, so that it
/// is not always the newest that goes.
fn by_magnitude(a: Option<Duration>, b: Option<Duration>, x: &Order, y: &Order) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if a != b => magnitude(a).cmp(&magnitude(b)).then_with(|| x.uid.cmp(&y.uid)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

fn magnitude(span: Duration) -> i64 {
    span.as_nanos().checked_ilog2().map_or(-1, i64::from)
}

/// `controller.kubernetes.io/pod-deletion-cost`, zero if absent or not a number.
pub fn deletion_cost(annotation: Option<&str>) -> i32 {
    annotation.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The span from `from` to `now`, zero if `from` lies ahead.
pub fn span(from: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    from.map(|from| Duration::try_from(now.duration_since(from)).unwrap_or_default())
}
