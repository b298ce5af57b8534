//! The order in which a stateful set's pods come, go and are replaced.
//! (upstream: pkg/controller/statefulset/stateful_set_control.go)

use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    /// The name of its revision.
    pub revision: String,
    pub pending: bool,
    /// Succeeded or failed: it must be made anew.
    pub finished: bool,
    pub failed: bool,
    pub ready: bool,
    pub available_in: Option<Duration>,
    pub terminating: bool,
    /// Labels and volumes are those of its ordinal.
    pub identity_matches: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub replicas: i32,
    /// The first ordinal.
    pub start: i32,
    pub parallel: bool,
    pub on_delete: bool,
    /// Pods below `start + partition` keep the current revision; nothing if no partition is given.
    pub partition: Option<i32>,
    pub deleting: bool,
    pub current_revision: String,
    pub update_revision: String,
    /// `status.currentReplicas`
    pub current_replicas: i32,
    /// By ordinal.
    pub pods: BTreeMap<i32, PodView>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Create {
        ordinal: i32,
        revision: String,
    },
    /// Makes missing claims of a pod that cannot start.
    Claims {
        ordinal: i32,
    },
    Repair {
        ordinal: i32,
    },
    Delete {
        ordinal: i32,
        why: Why,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Failed,
    Succeeded,
    Surplus,
    Outdated,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub replicas: i32,
    pub ready: i32,
    pub available: i32,
    pub current: i32,
    pub updated: i32,
    pub current_revision: String,
    pub update_revision: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub status: Status,
    pub requeue_after: Option<Duration>,
}

pub fn decide(view: &View) -> Plan {
    let waits = view.pods.values().filter(|pod| !pod.terminating).filter_map(|pod| pod.available_in);
    let requeue_after = waits.filter(|wait| !wait.is_zero()).min();
    let mut plan = Plan { actions: Vec::new(), status: status(view), requeue_after };
    if !view.deleting && fill(view, &mut plan.actions) && shrink(view, &mut plan.actions) {
        update(view, &mut plan.actions);
    }
    plan
}

fn wanted(view: &View) -> std::ops::Range<i32> {
    view.start..view.start + view.replicas
}

fn is_healthy(pod: &PodView) -> bool {
    !pod.finished && !pod.terminating && pod.available_in == Some(Duration::ZERO)
}

fn new_pod_revision(view: &View, ordinal: i32) -> &str {
    let kept = match view.partition {
        Some(partition) => view.start + partition,
        None => view.start + view.current_replicas,
    };
    if !view.on_delete && ordinal < kept { &view.current_revision } else { &view.update_revision }
}

/// Brings up what is missing; answers whether the next stage may begin.
fn fill(view: &View, actions: &mut Vec<Action>) -> bool {
    for ordinal in wanted(view) {
        let Some(pod) = view.pods.get(&ordinal) else {
            actions.push(Action::Create { ordinal, revision: new_pod_revision(view, ordinal).to_owned() });
            if view.parallel { continue } else { return false }
        };
        if pod.finished {
            if !pod.terminating {
                let why = if pod.failed { Why::Failed } else { Why::Succeeded };
                actions.push(Action::Delete { ordinal, why });
            }
            if view.parallel { continue } else { return false }
        }
        if pod.pending {
            actions.push(Action::Claims { ordinal });
        }
        if !view.parallel && !is_healthy(pod) {
            return false;
        }
        if !pod.identity_matches && !pod.terminating {
            actions.push(Action::Repair { ordinal });
        }
    }
    true
}

/// Removes pods beyond the wanted number, highest ordinal first.
fn shrink(view: &View, actions: &mut Vec<Action>) -> bool {
    let range = wanted(view);
    let condemned: Vec<(i32, &PodView)> =
        view.pods.iter().rev().filter(|(ordinal, _)| !range.contains(ordinal)).map(|(at, pod)| (*at, pod)).collect();
    let first_unhealthy = first_unhealthy(view, &condemned);
    for (ordinal, pod) in &condemned {
        if pod.terminating {
            if view.parallel { continue } else { return false }
        }
        if !view.parallel && !is_healthy(pod) && first_unhealthy != Some(*ordinal) {
            return false;
        }
        actions.push(Action::Delete { ordinal: *ordinal, why: Why::Surplus });
        if !view.parallel {
            return false;
        }
    }
    true
}

/// An unhealthy pod may only go if no other one is unhealthy before it.
fn first_unhealthy(view: &View, condemned: &[(i32, &PodView)]) -> Option<i32> {
    let replicas = wanted(view).filter_map(|ordinal| Some((ordinal, view.pods.get(&ordinal)?)));
    let mut all = replicas.chain(condemned.iter().rev().copied());
    all.find(|(_, pod)| !is_healthy(pod)).map(|(ordinal, _)| ordinal)
}

/// Replaces one outdated pod, highest ordinal first, once all above it are well.
fn update(view: &View, actions: &mut Vec<Action>) {
    if view.on_delete {
        return;
    }
    let first = view.start + view.partition.unwrap_or_default();
    for ordinal in wanted(view).rev().take_while(|ordinal| *ordinal >= first) {
        let Some(pod) = view.pods.get(&ordinal) else { return };
        if pod.revision != view.update_revision && !pod.terminating {
            actions.push(Action::Delete { ordinal, why: Why::Outdated });
            return;
        }
        if !is_healthy(pod) {
            return;
        }
    }
}

fn status(view: &View) -> Status {
    let count = |which: &dyn Fn(&PodView) -> bool| {
        i32::try_from(view.pods.values().filter(|pod| which(pod)).count()).unwrap_or(i32::MAX)
    };
    let mut status = Status {
        replicas: count(&|_| true),
        ready: count(&|pod| pod.ready && !pod.finished),
        available: count(&|pod| pod.available_in == Some(Duration::ZERO) && !pod.finished),
        current: count(&|pod| !pod.terminating && pod.revision == view.current_revision),
        updated: count(&|pod| !pod.terminating && pod.revision == view.update_revision),
        current_revision: view.current_revision.clone(),
        update_revision: view.update_revision.clone(),
    };
    let complete = !view.on_delete && status.updated == status.replicas && status.ready == status.replicas;
    if complete && status.replicas == view.replicas {
        status.current = status.updated;
        status.current_revision.clone_from(&view.update_revision);
    }
    status
}
