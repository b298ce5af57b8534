//! How a job counts its pods, makes new ones and ends. (upstream: pkg/controller/job)
//!
//! Each pod carries a finalizer until the status has counted it, so that none is counted twice or not at
//! all: first its uid is noted as uncounted, then the finalizer goes, then the counter is raised.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::podset::BURST_MAX;
use crate::replicaset::{Order, removal_order};

/// The delay before a new pod after a failure; it doubles with each failure in a row.
const BACKOFF_BASE: Duration = Duration::from_secs(10);
const BACKOFF_MAX: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Active,
    Succeeded,
    Failed,
}

/// What the pod failure policy makes of a failed pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Verdict {
    #[default]
    Count,
    Ignore,
    /// The job fails with this message.
    FailJob(String),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    pub name: String,
    pub uid: String,
    pub phase: Phase,
    pub terminating: bool,
    pub ready: bool,
    /// Not counted yet.
    pub tracked: bool,
    pub index: Option<i32>,
    pub finished_at: Option<Timestamp>,
    pub verdict: Verdict,
    pub order: Order,
}

/// Where the job stands with its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum End {
    #[default]
    Open,
    /// Its result is certain; its pods are going.
    Decided(Result<Reason, Reason>),
    Closed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    pub succeeded: i32,
    pub failed: i32,
    pub uncounted_succeeded: BTreeSet<String>,
    pub uncounted_failed: BTreeSet<String>,
    pub completed: BTreeSet<i32>,
}

#[derive(Clone, Debug, Default)]
pub struct View {
    pub parallelism: i32,
    pub completions: Option<i32>,
    pub indexed: bool,
    pub backoff_limit: i32,
    pub deadline: Option<Duration>,
    pub suspended: bool,
    /// New pods wait until old ones have ended, not only begun to.
    pub replace_failed_only: bool,
    pub deleting: bool,
    pub in_flight: bool,
    pub started: Option<Timestamp>,
    pub counted: Counted,
    pub end: End,
    pub pods: Vec<PodView>,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The status counts or notes these pods: their finalizers may go, once it is written.
    Untrack {
        pod: String,
    },
    Create {
        count: usize,
        indexes: Vec<i32>,
    },
    Delete {
        pod: String,
        uid: String,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub counted: Counted,
    pub active: i32,
    pub ready: i32,
    pub terminating: i32,
    pub end: End,
    pub started: Option<Timestamp>,
    pub requeue_after: Option<Duration>,
}

fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn natural(count: i32) -> usize {
    usize::try_from(count).unwrap_or_default()
}

/// A pod on its way out counts as failed, unless pods are only replaced when they have ended.
fn result(view: &View, pod: &PodView) -> Phase {
    match pod.phase {
        Phase::Active if pod.terminating && !view.replace_failed_only => Phase::Failed,
        phase => phase,
    }
}

fn is_active(pod: &PodView) -> bool {
    pod.phase == Phase::Active && !pod.terminating
}

pub fn decide(view: &View) -> Plan {
    if view.end == End::Closed {
        // What is left of its pods only waits to be let go.
        let tracked = view.pods.iter().filter(|pod| pod.tracked && !is_active(pod));
        let actions = tracked.map(|pod| Action::Untrack { pod: pod.name.clone() }).collect();
        return Plan {
            actions,
            counted: view.counted.clone(),
            end: End::Closed,
            started: view.started,
            ..Plan::default()
        };
    }
    let (counted, untrack) = count(view);
    let active: Vec<&PodView> = view.pods.iter().filter(|pod| is_active(pod)).collect();
    let terminating = view.pods.iter().filter(|pod| pod.terminating && pod.phase == Phase::Active).count();
    let mut plan = Plan {
        actions: untrack.into_iter().map(|pod| Action::Untrack { pod }).collect(),
        active: int(active.len()),
        ready: int(active.iter().filter(|pod| pod.ready).count()),
        terminating: int(terminating),
        started: if view.suspended { None } else { view.started.or(Some(view.now)) },
        end: view.end.clone(),
        counted,
        requeue_after: None,
    };
    if plan.end == End::Open {
        plan.end = judge(view, &plan, active.len());
    }
    match &plan.end {
        End::Decided(_) => plan.actions.extend(active.iter().map(|pod| delete(pod))),
        _ if view.deleting || view.in_flight => {}
        _ if view.suspended => plan.actions.extend(active.iter().map(|pod| delete(pod))),
        _ => manage(view, &mut plan, active, terminating),
    }
    if let (End::Open, Some(deadline), Some(started)) = (&plan.end, view.deadline, plan.started) {
        let left = control::pods::remaining(started, deadline, view.now);
        plan.requeue_after = Some(plan.requeue_after.map_or(left, |known| known.min(left)));
    }
    plan
}

fn delete(pod: &PodView) -> Action {
    Action::Delete { pod: pod.name.clone(), uid: pod.uid.clone() }
}

/// The new counts, and the pods whose finalizers may go once they are written.
fn count(view: &View) -> (Counted, Vec<String>) {
    let mut counted = view.counted.clone();
    settle(view, &mut counted);
    let mut untrack = Vec::new();
    for pod in view.pods.iter().filter(|pod| pod.tracked) {
        match (result(view, pod), pod.index) {
            (Phase::Active, _) => continue,
            (Phase::Succeeded, Some(index)) if view.indexed => {
                if view.completions.is_some_and(|completions| index < completions) {
                    counted.completed.insert(index);
                }
            }
            (Phase::Succeeded, _) => {
                counted.uncounted_succeeded.insert(pod.uid.clone());
            }
            (Phase::Failed, _) if pod.verdict == Verdict::Ignore => {}
            (Phase::Failed, _) => {
                counted.uncounted_failed.insert(pod.uid.clone());
            }
        }
        untrack.push(pod.name.clone());
    }
    if view.indexed {
        counted.succeeded = int(counted.completed.len());
    }
    (counted, untrack)
}

/// Raises the counters for pods whose finalizers are gone.
fn settle(view: &View, counted: &mut Counted) {
    let is_tracked = |uid: &String| view.pods.iter().any(|pod| pod.tracked && pod.uid == *uid);
    let move_from = |uncounted: &mut BTreeSet<String>| {
        let before = uncounted.len();
        uncounted.retain(is_tracked);
        int(before - uncounted.len())
    };
    counted.succeeded += move_from(&mut counted.uncounted_succeeded);
    counted.failed += move_from(&mut counted.uncounted_failed);
}

fn totals(counted: &Counted) -> (i32, i32) {
    (counted.succeeded + int(counted.uncounted_succeeded.len()), counted.failed + int(counted.uncounted_failed.len()))
}

fn reason(reason: &str, message: &str) -> Reason {
    Reason { reason: reason.to_owned(), message: message.to_owned() }
}

fn judge(view: &View, plan: &Plan, active: usize) -> End {
    let (succeeded, failed) = totals(&plan.counted);
    let refused = view.pods.iter().find_map(|pod| match &pod.verdict {
        Verdict::FailJob(message) => Some(message),
        _ => None,
    });
    if let Some(message) = refused {
        return End::Decided(Err(reason("PodFailurePolicy", message)));
    }
    let late = |(deadline, started)| control::pods::remaining(started, deadline, view.now).is_zero();
    if !view.suspended && view.deadline.zip(plan.started).is_some_and(late) {
        return End::Decided(Err(reason("DeadlineExceeded", "Job was active longer than specified deadline")));
    }
    if failed > view.backoff_limit {
        return End::Decided(Err(reason("BackoffLimitExceeded", "Job has reached the specified backoff limit")));
    }
    let complete = match view.completions {
        None => succeeded > 0 && active == 0,
        Some(completions) => succeeded >= completions,
    };
    if complete {
        return End::Decided(Ok(reason("CompletionsReached", "Reached expected number of succeeded pods")));
    }
    End::Open
}

fn manage(view: &View, plan: &mut Plan, mut active: Vec<&PodView>, terminating: usize) {
    let (succeeded, _) = totals(&plan.counted);
    let wanted = match view.completions {
        None if succeeded > 0 => active.len(),
        None => natural(view.parallelism),
        Some(completions) => natural(view.parallelism.min(completions - succeeded)),
    };
    if active.len() > wanted {
        active.sort_by(|a, b| removal_order(&a.order, &b.order));
        let surplus = active.len() - wanted;
        plan.actions.extend(active.iter().take(surplus).map(|pod| delete(pod)));
        return;
    }
    let waiting = if view.replace_failed_only { terminating } else { 0 };
    let missing = wanted.saturating_sub(active.len() + waiting).min(BURST_MAX);
    if missing == 0 {
        return;
    }
    let backoff = backoff(view);
    if !backoff.is_zero() {
        plan.requeue_after = Some(backoff);
        return;
    }
    let indexes = if view.indexed { free_indexes(view, plan, missing) } else { Vec::new() };
    let count = if view.indexed { indexes.len() } else { missing };
    if count > 0 {
        plan.actions.push(Action::Create { count, indexes });
    }
}

fn free_indexes(view: &View, plan: &Plan, count: usize) -> Vec<i32> {
    let holds = |pod: &&PodView| is_active(pod) || (view.replace_failed_only && pod.phase == Phase::Active);
    let used: BTreeSet<i32> = view.pods.iter().filter(holds).filter_map(|pod| pod.index).collect();
    let all = 0..view.completions.unwrap_or_default();
    all.filter(|index| !plan.counted.completed.contains(index) && !used.contains(index)).take(count).collect()
}

/// The time left of the delay that the failures since the last success have earned.
fn backoff(view: &View) -> Duration {
    let finished = |phase| view.pods.iter().filter(move |pod| pod.phase == phase).filter_map(|pod| pod.finished_at);
    let last_success = finished(Phase::Succeeded).max();
    let failures: Vec<Timestamp> =
        finished(Phase::Failed).filter(|at| last_success.is_none_or(|last| *at > last)).collect();
    let Some(last) = failures.iter().max() else { return Duration::ZERO };
    let doublings = u32::try_from(failures.len() - 1).unwrap_or(u32::MAX).min(10);
    control::pods::remaining(*last, (BACKOFF_BASE * 2_u32.pow(doublings)).min(BACKOFF_MAX), view.now)
}

/// Whether a decided job can be closed by this plan: nothing runs and nothing waits to be counted.
pub fn can_close(plan: &Plan) -> bool {
    let all_counted = plan.counted.uncounted_succeeded.is_empty() && plan.counted.uncounted_failed.is_empty();
    matches!(plan.end, End::Decided(_)) && plan.active == 0 && plan.terminating == 0 && all_counted
}
