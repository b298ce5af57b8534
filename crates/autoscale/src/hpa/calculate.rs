//! How many pods bring a metric to its target.
//!
//! upstream: pkg/controller/podautoscaler/replica_calculator.go

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};
use k8s_openapi::api::core::v1::Pod;
use machinery::Quantity;

use super::pods::{self, PodMetrics};

/// A ratio of usage to target that lies this near to 1 changes nothing.
const TOLERANCE: f64 = 0.1;

/// How far the ratio may be below or above 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerances {
    down: f64,
    up: f64,
}

impl Tolerances {
    pub fn of(behavior: Option<&HorizontalPodAutoscalerBehavior>) -> Self {
        let tolerance = |rules: Option<&HPAScalingRules>| {
            let text = &rules?.tolerance.as_ref()?.0;
            Some(Quantity::parse(text).ok()?.milli_value() as f64 / 1000.0)
        };
        Self {
            down: tolerance(behavior.and_then(|b| b.scale_down.as_ref())).unwrap_or(TOLERANCE),
            up: tolerance(behavior.and_then(|b| b.scale_up.as_ref())).unwrap_or(TOLERANCE),
        }
    }

    fn hold(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

/// What the metric should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal<'a> {
    /// Percent of what the pods request, or of what one container of each does.
    Utilization { percent: i32, container: Option<&'a str> },
    /// Thousandths for each pod.
    Average(i64),
}

/// What a calculation rests on.
pub struct Facts<'a> {
    pub replicas: i32,
    pub resource: &'a str,
    /// All that the target's selector matches.
    pub pods: &'a [Arc<Pod>],
    pub metrics: PodMetrics<'a>,
    pub tolerances: Tolerances,
    pub now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub replicas: i32,
    /// Percent of what is requested; nothing if that is not the goal.
    pub utilization: Option<i32>,
    /// Thousandths for each pod that was measured.
    pub average: i64,
}

/// Usage by pod, in thousandths.
type Usage<'a> = BTreeMap<&'a str, i64>;

/// A goal with what it is measured against.
enum Scale<'a> {
    Utilization { percent: i32, requests: BTreeMap<&'a str, i64> },
    Average(i64),
}

struct Measured {
    /// Of usage to goal.
    ratio: f64,
    utilization: Option<i32>,
    average: i64,
}

pub fn propose(facts: Facts, goal: Goal) -> Result<Proposal, String> {
    if facts.pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = pods::group(facts.pods, &facts.metrics, facts.resource, facts.now);
    let counts = |name: &&str| !groups.ignored.contains(name) && !groups.unready.contains(name);
    let measured = facts.metrics.iter().filter(|(name, _)| counts(name));
    let mut usage: Usage = measured.map(|(name, metric)| (*name, metric.value)).collect();
    if usage.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let scale = Scale::of(goal, &facts)?;
    let now = scale.measure(&usage)?;
    let proposal = |replicas| Proposal { replicas, utilization: now.utilization, average: now.average };

    let starting = !groups.unready.is_empty() && now.ratio > 1.0;
    if !starting && groups.missing.is_empty() {
        let replicas =
            if facts.tolerances.hold(now.ratio) { facts.replicas } else { ceil(now.ratio * groups.ready as f64) };
        return Ok(proposal(replicas));
    }
    assume(&mut usage, &groups, &scale, now.ratio);
    let assumed = scale.measure(&usage)?.ratio;
    Ok(proposal(settle(&facts, now.ratio, assumed, usage.len())))
}

/// Fills the gaps so that they work against a change: what is unknown uses much when there is little to do and
/// nothing when there is much.
fn assume<'a>(usage: &mut Usage<'a>, groups: &pods::Groups<'a>, scale: &Scale, ratio: f64) {
    if ratio < 1.0 {
        usage.extend(groups.missing.iter().map(|name| (*name, scale.plenty(name))));
    } else if ratio > 1.0 {
        usage.extend(groups.missing.iter().chain(&groups.unready).map(|name| (*name, 0)));
    }
}

/// The count that the assumed usage asks for, unless it turns the direction round.
fn settle(facts: &Facts, ratio: f64, assumed: f64, pods: usize) -> i32 {
    let turned = (ratio < 1.0 && assumed > 1.0) || (ratio > 1.0 && assumed < 1.0);
    if turned || facts.tolerances.hold(assumed) {
        return facts.replicas;
    }
    let replicas = ceil(assumed * pods as f64);
    let astray = (assumed < 1.0 && replicas > facts.replicas) || (assumed > 1.0 && replicas < facts.replicas);
    if astray { facts.replicas } else { replicas }
}

fn ceil(replicas: f64) -> i32 {
    // The cast saturates.
    replicas.ceil() as i32
}

impl<'a> Scale<'a> {
    fn of(goal: Goal, facts: &Facts<'a>) -> Result<Self, String> {
        match goal {
            Goal::Average(goal) => Ok(Self::Average(goal)),
            Goal::Utilization { percent, container } => {
                Ok(Self::Utilization { percent, requests: pods::requests(facts.pods, facts.resource, container)? })
            }
        }
    }

    fn measure(&self, usage: &Usage) -> Result<Measured, String> {
        match self {
            Self::Average(goal) => {
                let average = usage.values().sum::<i64>() / usage.len() as i64;
                Ok(Measured { ratio: average as f64 / *goal as f64, utilization: None, average })
            }
            Self::Utilization { percent, requests } => {
                let pairs = usage.iter().filter_map(|(name, used)| Some((*used, *requests.get(name)?)));
                let (used, requested) = pairs.clone().fold((0, 0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
                if requested == 0 {
                    return Err("no metrics returned matched known pods".to_owned());
                }
                let utilization = i32::try_from(used * 100 / requested).unwrap_or(i32::MAX);
                let ratio = f64::from(utilization) / f64::from(*percent);
                Ok(Measured { ratio, utilization: Some(utilization), average: used / pairs.count() as i64 })
            }
        }
    }

    /// What a pod without metrics is held to use when the others use little.
    fn plenty(&self, pod: &str) -> i64 {
        match self {
            Self::Average(goal) => *goal,
            Self::Utilization { percent, requests } => {
                requests.get(pod).copied().unwrap_or_default() * i64::from((*percent).max(100)) / 100
            }
        }
    }
}
