//! How far and how fast a size may change: bounds, behaviors, stabilization.
//!
//! upstream: pkg/controller/podautoscaler/horizontal.go (normalizeDesiredReplicas and below)

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior};

use super::history::History;

/// Recommendations of this time hold a scale-down back, unless the behavior says otherwise.
const DOWNSCALE_STABILIZATION: Duration = Duration::from_secs(300);

/// Without a behavior a size at most doubles, or becomes this.
const SCALE_UP_LIMIT_MIN: i32 = 4;

/// A condition's reason and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub &'static str, pub &'static str);

const READY: Reason = Reason("ReadyForNewScale", "recommended size matches current size");
const UP_STABILIZED: Reason = Reason(
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABILIZED: Reason = Reason(
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const WITHIN: Reason = Reason("DesiredWithinRange", "the desired count is within the acceptable range");
const UP_LIMIT: Reason =
    Reason("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: Reason =
    Reason("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const TOO_MANY: Reason = Reason("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Reason = Reason("TooFewReplicas", "the desired replica count is less than the minimum replica count");

/// What the metrics ask for, and between what it must lie.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub current: i32,
    pub desired: i32,
    pub min: i32,
    pub max: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub replicas: i32,
    /// Of the condition AbleToScale, which is true.
    pub able: Reason,
    /// Whether the condition ScalingLimited is true.
    pub limited: bool,
    pub limit: Reason,
}

pub fn allow(
    wish: Wish,
    behavior: Option<&HorizontalPodAutoscalerBehavior>,
    history: &History,
    now: Timestamp,
) -> Allowed {
    let (stabilized, why) = stabilize(wish, behavior, history, now);
    let stable = Wish { desired: stabilized, ..wish };
    let (replicas, limit) = match behavior {
        None => bound(stable),
        Some(behavior) => bound_rate(stable, behavior, history, now),
    };
    let able = if stabilized == wish.desired { READY } else { why };
    Allowed { replicas, able, limited: replicas != stabilized, limit }
}

/// Brings the wish between the lowest recommendation of the window for scaling up and the highest of the one
/// for scaling down.
fn stabilize(
    wish: Wish,
    behavior: Option<&HorizontalPodAutoscalerBehavior>,
    history: &History,
    now: Timestamp,
) -> (i32, Reason) {
    let Some(behavior) = behavior else {
        let highest = history.recommended(DOWNSCALE_STABILIZATION, now).fold(wish.desired, i32::max);
        return (highest, DOWN_STABILIZED);
    };
    let up = window(behavior.scale_up.as_ref(), Duration::ZERO);
    let down = window(behavior.scale_down.as_ref(), DOWNSCALE_STABILIZATION);
    let lowest = history.recommended(up, now).fold(wish.desired, i32::min);
    let highest = history.recommended(down, now).fold(wish.desired, i32::max);
    let why = if wish.desired >= wish.current { UP_STABILIZED } else { DOWN_STABILIZED };
    (wish.current.max(lowest).min(highest), why)
}

fn window(rules: Option<&HPAScalingRules>, default: Duration) -> Duration {
    let seconds = rules.and_then(|rules| rules.stabilization_window_seconds);
    seconds.map_or(default, |seconds| control::pods::seconds(seconds.into()))
}

/// The limits of an autoscaler without a behavior.
fn bound(wish: Wish) -> (i32, Reason) {
    let fastest = wish.current.saturating_mul(2).max(SCALE_UP_LIMIT_MIN);
    let (most, why) = if wish.max > fastest { (fastest, UP_LIMIT) } else { (wish.max, TOO_MANY) };
    if wish.desired < wish.min {
        (wish.min, TOO_FEW)
    } else if wish.desired > most {
        (most, why)
    } else {
        (wish.desired, WITHIN)
    }
}

fn bound_rate(
    wish: Wish,
    behavior: &HorizontalPodAutoscalerBehavior,
    history: &History,
    now: Timestamp,
) -> (i32, Reason) {
    if wish.desired > wish.current {
        let fastest = up_limit(wish.current, behavior.scale_up.as_ref(), history, now).max(wish.current);
        let (most, why) = if wish.max > fastest { (fastest, UP_LIMIT) } else { (wish.max, TOO_MANY) };
        if wish.desired > most {
            return (most, why);
        }
    } else if wish.desired < wish.current {
        let fastest = down_limit(wish.current, behavior.scale_down.as_ref(), history, now).min(wish.current);
        let (least, why) = if wish.min < fastest { (fastest, DOWN_LIMIT) } else { (wish.min, TOO_FEW) };
        if wish.desired < least {
            return (least, why);
        }
    }
    (wish.desired, WITHIN)
}

/// The largest size that the policies for scaling up allow.
fn up_limit(current: i32, rules: Option<&HPAScalingRules>, history: &History, now: Timestamp) -> i32 {
    let defaults = [policy("Pods", SCALE_UP_LIMIT_MIN), policy("Percent", 100)];
    let limits = policies(rules, &defaults).iter().map(|policy| {
        let start = history.before(current, control::pods::seconds(policy.period_seconds.into()), now);
        match policy.type_.as_str() {
            "Pods" => start.saturating_add(policy.value),
            // Rounded up, so that a small size can grow at all.
            _ => (f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
        }
    });
    match select_policy(rules) {
        "Disabled" => current,
        "Min" => limits.min().unwrap_or(i32::MAX),
        _ => limits.max().unwrap_or(i32::MIN),
    }
}

/// The smallest size that the policies for scaling down allow.
fn down_limit(current: i32, rules: Option<&HPAScalingRules>, history: &History, now: Timestamp) -> i32 {
    let defaults = [policy("Percent", 100)];
    let limits = policies(rules, &defaults).iter().map(|policy| {
        let start = history.before(current, control::pods::seconds(policy.period_seconds.into()), now);
        match policy.type_.as_str() {
            "Pods" => start.saturating_sub(policy.value),
            _ => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
        }
    });
    match select_policy(rules) {
        "Disabled" => current,
        "Min" => limits.max().unwrap_or(i32::MIN),
        _ => limits.min().unwrap_or(i32::MAX),
    }
}

fn select_policy(rules: Option<&HPAScalingRules>) -> &str {
    rules.and_then(|rules| rules.select_policy.as_deref()).unwrap_or("Max")
}

fn policies<'a>(rules: Option<&'a HPAScalingRules>, defaults: &'a [HPAScalingPolicy]) -> &'a [HPAScalingPolicy] {
    rules.and_then(|rules| rules.policies.as_deref()).unwrap_or(defaults)
}

/// One of the API's default policies, which look at 15 seconds.
fn policy(type_: &str, value: i32) -> HPAScalingPolicy {
    HPAScalingPolicy { type_: type_.to_owned(), value, period_seconds: 15 }
}
