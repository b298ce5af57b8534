//! How many pods may be disrupted. (upstream: pkg/controller/disruption)

use std::collections::BTreeMap;
use std::time::Duration;

use control::{Error, Round, scaled_value};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// An eviction that was allowed this long ago and did not happen counts no more.
const EVICTION_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    pub name: String,
    pub ready: bool,
    pub terminating: bool,
    /// The uid of what scales it, with its wanted replicas; nothing if nothing does.
    pub scale: Option<(String, i32)>,
}

#[derive(Clone, Debug)]
pub struct View {
    pub min_available: Option<IntOrString>,
    pub max_unavailable: Option<IntOrString>,
    pub pods: Vec<PodView>,
    /// Evictions that the server allowed and nobody has seen yet.
    pub disrupted: BTreeMap<String, Timestamp>,
    pub now: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub expected: i32,
    pub desired_healthy: i32,
    pub current_healthy: i32,
    pub allowed: i32,
    pub disrupted: BTreeMap<String, Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub status: Status,
    /// Pods whose eviction never happened.
    pub not_deleted: Vec<String>,
    /// Selected pods that nothing scales, though the budget needs to know of how many.
    pub unmanaged: Vec<String>,
    pub requeue_after: Option<Duration>,
}

pub fn decide(view: &View) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let (expected, desired_healthy) = expect(view, &mut plan)?;
    plan.requeue_after = settle(view, &mut plan);
    let is_healthy = |pod: &&PodView| pod.ready && !pod.terminating && !plan.status.disrupted.contains_key(&pod.name);
    let current_healthy = count(view.pods.iter().filter(is_healthy).count());
    let allowed = if expected > 0 { (current_healthy - desired_healthy).max(0) } else { 0 };
    plan.status = Status { expected, desired_healthy, current_healthy, allowed, disrupted: plan.status.disrupted };
    Ok(plan)
}

fn count(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}

/// The pods that should be there, and how many of them healthy.
fn expect(view: &View, plan: &mut Plan) -> Result<(i32, i32), Error> {
    if let Some(max_unavailable) = &view.max_unavailable {
        let expected = scale(view, plan);
        let unavailable = scaled_value(max_unavailable, expected, Round::Up)?;
        return Ok((expected, (expected - unavailable).max(0)));
    }
    match &view.min_available {
        Some(IntOrString::Int(healthy)) => Ok((count(view.pods.len()), *healthy)),
        Some(share) => {
            let expected = scale(view, plan);
            Ok((expected, scaled_value(share, expected, Round::Up)?))
        }
        None => Ok((count(view.pods.len()), 0)),
    }
}

/// The replicas of all that scales the pods, each counted once.
fn scale(view: &View, plan: &mut Plan) -> i32 {
    let mut scales = BTreeMap::new();
    for pod in &view.pods {
        match &pod.scale {
            Some((uid, replicas)) => {
                scales.insert(uid, *replicas);
            }
            None => plan.unmanaged.push(pod.name.clone()),
        }
    }
    scales.values().sum()
}

/// Keeps the evictions that may still come; answers when the next one counts no more.
fn settle(view: &View, plan: &mut Plan) -> Option<Duration> {
    let mut next: Option<Duration> = None;
    for (name, at) in &view.disrupted {
        let Some(pod) = view.pods.iter().find(|pod| pod.name == *name) else { continue };
        if pod.terminating {
            continue;
        }
        let left = control::pods::remaining(*at, EVICTION_TIMEOUT, view.now);
        if left.is_zero() {
            plan.not_deleted.push(name.clone());
            continue;
        }
        plan.status.disrupted.insert(name.clone(), *at);
        next = Some(next.map_or(left, |known| known.min(left)));
    }
    next
}
