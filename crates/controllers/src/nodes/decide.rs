//! What a node's silence and its conditions lead to. (upstream: pkg/controller/nodelifecycle)

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NodeCondition, Taint, Toleration};

use super::{NOT_READY, UNREACHABLE};

/// Silence after which a node counts as lost.
pub const GRACE: Duration = Duration::from_secs(40);
/// Silence that a node is allowed before its first status.
pub const STARTUP_GRACE: Duration = Duration::from_secs(60);

/// The conditions that a silent node can no longer vouch for.
const OWN_CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// Whether evictions are safe to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disruption {
    Normal,
    /// So many nodes are lost at once that the fault is more likely on our side.
    Partial,
    /// No node is ready.
    Full,
}

pub fn disruption(ready: usize, unready: usize) -> Disruption {
    // upstream: --unhealthy-zone-threshold 0.55
    const THRESHOLD_PERCENT: usize = 55;
    if ready == 0 && unready > 0 {
        Disruption::Full
    } else if unready > 2 && unready * 100 >= (ready + unready) * THRESHOLD_PERCENT {
        Disruption::Partial
    } else {
        Disruption::Normal
    }
}

/// A node and what is known about its health.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub conditions: Vec<NodeCondition>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    /// Since the lease or the status last changed, by our own clock.
    pub silent_for: Duration,
    /// A NoExecute taint may be added now.
    pub may_evict: bool,
    /// NoExecute taints of ours must go: nothing is known about any node.
    pub must_not_evict: bool,
    pub now: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The new conditions, if they change.
    pub conditions: Option<Vec<NodeCondition>>,
    /// The new taints, if they change.
    pub taints: Option<Vec<Taint>>,
    /// A NoExecute taint is wanted and must wait for its turn.
    pub waits_for_turn: bool,
    /// A NoExecute taint is added.
    pub evicts: bool,
    /// When the silence becomes too long.
    pub requeue_after: Option<Duration>,
}

pub fn decide(view: &View) -> Plan {
    let mut plan = Plan::default();
    let ready = view.conditions.iter().find(|condition| condition.type_ == "Ready");
    let grace = if ready.is_some() { GRACE } else { STARTUP_GRACE };
    let mut conditions = view.conditions.clone();
    if view.silent_for >= grace {
        forget_health(&mut conditions, view.now);
        plan.conditions = (conditions != view.conditions).then(|| conditions.clone());
    } else {
        plan.requeue_after = Some(grace - view.silent_for);
    }
    let taints = taint(view, &conditions, &mut plan);
    plan.taints = (taints != view.taints).then_some(taints);
    plan
}

fn forget_health(conditions: &mut Vec<NodeCondition>, now: Timestamp) {
    let now = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(clock::to_seconds(now)));
    for type_ in OWN_CONDITIONS {
        match conditions.iter_mut().find(|condition| condition.type_ == type_) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                condition.status = "Unknown".to_owned();
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time.clone_from(&now);
            }
            None => conditions.push(NodeCondition {
                type_: type_.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: None,
                last_transition_time: now.clone(),
            }),
        }
    }
}

/// The node's taints: all but ours stay as they are.
fn taint(view: &View, conditions: &[NodeCondition], plan: &mut Plan) -> Vec<Taint> {
    let mut wanted = schedule_taints(view.unschedulable, conditions);
    let present = |key: &str, effect: &str| view.taints.iter().any(|taint| taint.key == key && taint.effect == effect);
    if let Some(key) = execute_taint(conditions).filter(|_| !view.must_not_evict) {
        let switches = [NOT_READY, UNREACHABLE].iter().any(|ours| present(ours, NO_EXECUTE));
        if switches || view.may_evict {
            plan.evicts = !present(key, NO_EXECUTE) && !switches;
            wanted.push((key, NO_EXECUTE));
        } else {
            plan.waits_for_turn = true;
        }
    }
    let mut taints = view.taints.clone();
    taints.retain(|taint| !is_ours(taint) || wanted.contains(&(taint.key.as_str(), taint.effect.as_str())));
    for (key, effect) in wanted {
        if !present(key, effect) {
            taints.push(new_taint(key, effect, view.now));
        }
    }
    taints
}

fn status<'a>(conditions: &'a [NodeCondition], type_: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.status.as_str())
}

fn execute_taint(conditions: &[NodeCondition]) -> Option<&'static str> {
    match status(conditions, "Ready") {
        Some("False") => Some(NOT_READY),
        Some("Unknown") => Some(UNREACHABLE),
        _ => None,
    }
}

/// Condition, its state, and the taint that keeps new pods away.
const SCHEDULE_TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

fn schedule_taints(unschedulable: bool, conditions: &[NodeCondition]) -> Vec<(&'static str, &'static str)> {
    let holds = |(type_, state, _): &&(&str, &str, &str)| status(conditions, type_) == Some(state);
    let mut taints: Vec<_> = SCHEDULE_TAINTS.iter().filter(holds).map(|(_, _, key)| (*key, NO_SCHEDULE)).collect();
    if unschedulable {
        taints.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    taints
}

fn is_ours(taint: &Taint) -> bool {
    let key = taint.key.as_str();
    match taint.effect.as_str() {
        NO_SCHEDULE => key == UNSCHEDULABLE || SCHEDULE_TAINTS.iter().any(|(_, _, ours)| *ours == key),
        NO_EXECUTE => [NOT_READY, UNREACHABLE].contains(&key),
        _ => false,
    }
}

fn new_taint(key: &str, effect: &str, now: Timestamp) -> Taint {
    let added = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(clock::to_seconds(now));
    Taint { key: key.to_owned(), effect: effect.to_owned(), time_added: Some(added), value: None }
}

/// When a pod must leave its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    Forever,
    /// Until this much time has passed since the taint was added; none means: leave now.
    For(Duration),
}

/// (upstream: pkg/controller/tainteviction)
pub fn stay(taints: &[Taint], tolerations: &[Toleration]) -> Stay {
    let mut shortest = Stay::Forever;
    for taint in taints.iter().filter(|taint| taint.effect == NO_EXECUTE) {
        let used: Vec<&Toleration> = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if used.is_empty() {
            return Stay::For(Duration::ZERO);
        }
        for seconds in used.iter().filter_map(|toleration| toleration.toleration_seconds) {
            let span = control::pods::seconds(seconds);
            shortest = match shortest {
                Stay::For(known) if known <= span => shortest,
                _ => Stay::For(span),
            };
        }
    }
    shortest
}

pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match text(&toleration.operator).as_str() {
        "" | "Equal" => text(&toleration.value) == text(&taint.value),
        "Exists" => true,
        _ => false,
    }
}
