//! The conditions AbleToScale, ScalingActive and ScalingLimited.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub const ABLE_TO_SCALE: &str = "AbleToScale";
pub const SCALING_ACTIVE: &str = "ScalingActive";
pub const SCALING_LIMITED: &str = "ScalingLimited";

/// Sets a condition; it keeps its time of change while its truth stays.
pub fn set(
    status: &mut HorizontalPodAutoscalerStatus,
    type_: &str,
    holds: bool,
    reason: &str,
    message: impl Into<String>,
    now: Timestamp,
) {
    let truth = if holds { "True" } else { "False" };
    let conditions = status.conditions.get_or_insert_default();
    let at = conditions.iter().position(|condition| condition.type_ == type_).unwrap_or_else(|| {
        conditions.push(HorizontalPodAutoscalerCondition { type_: type_.to_owned(), ..Default::default() });
        conditions.len() - 1
    });
    let condition = &mut conditions[at];
    if condition.status != truth {
        condition.status = truth.to_owned();
        condition.last_transition_time = Some(Time(clock::to_seconds(now)));
    }
    condition.reason = Some(reason.to_owned());
    condition.message = Some(message.into());
}
