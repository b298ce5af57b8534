use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use serde_json::{Value, json};

use super::super::history::History;
use super::super::limits::{Wish, allow};
use super::now;
use crate::testing::at;

/// Between 2 and 100 pods; the answer reads `COUNT ABLE LIMIT`, with a star where the limit holds.
fn limited(current: i32, desired: i32, behavior: Value, history: &History) -> String {
    let behavior: Option<HorizontalPodAutoscalerBehavior> = serde_json::from_value(behavior).unwrap();
    let allowed = allow(Wish { current, desired, min: 2, max: 100 }, behavior.as_ref(), history, now());
    let star = if allowed.limited { "*" } else { "" };
    format!("{} {} {}{star}", allowed.replicas, allowed.able.0, allowed.limit.0)
}

fn fresh() -> History {
    History::default()
}

/// That `replicas` were recommended so many seconds ago.
fn recommended(ago: i64, replicas: i32) -> History {
    let mut history = fresh();
    history.recommend(replicas, at(super::NOW - ago));
    history
}

fn rescaled(ago: i64, from: i32, to: i32) -> History {
    let mut history = fresh();
    history.rescale(from, to, at(super::NOW - ago));
    history
}

fn up(policies: Value, select: &str) -> Value {
    json!({ "scaleUp": { "policies": policies, "selectPolicy": select, "stabilizationWindowSeconds": 0 } })
}

fn down(policies: Value, select: &str) -> Value {
    json!({ "scaleDown": { "policies": policies, "selectPolicy": select, "stabilizationWindowSeconds": 0 } })
}

fn policy(type_: &str, value: i32, period: i32) -> Value {
    json!({ "type": type_, "value": value, "periodSeconds": period })
}

#[test]
fn a_size_at_most_doubles_or_becomes_four() {
    assert_eq!(limited(1, 10, Value::Null, &fresh()), "4 ReadyForNewScale ScaleUpLimit*");
    assert_eq!(limited(3, 10, Value::Null, &fresh()), "6 ReadyForNewScale ScaleUpLimit*");
    assert_eq!(limited(3, 5, Value::Null, &fresh()), "5 ReadyForNewScale DesiredWithinRange");
}

#[test]
fn a_size_stays_within_its_bounds() {
    assert_eq!(limited(80, 120, Value::Null, &fresh()), "100 ReadyForNewScale TooManyReplicas*");
    assert_eq!(limited(5, 1, Value::Null, &fresh()), "2 ReadyForNewScale TooFewReplicas*");
    assert_eq!(limited(80, 120, json!({}), &fresh()), "100 ReadyForNewScale TooManyReplicas*");
    assert_eq!(limited(5, 1, json!({}), &fresh()), "2 ReadyForNewScale TooFewReplicas*");
}

#[test]
fn scaling_down_waits_for_five_quiet_minutes() {
    assert_eq!(limited(8, 3, Value::Null, &recommended(299, 8)), "8 ScaleDownStabilized DesiredWithinRange");
    assert_eq!(limited(8, 3, Value::Null, &recommended(299, 6)), "6 ScaleDownStabilized DesiredWithinRange");
    assert_eq!(limited(8, 3, Value::Null, &recommended(301, 8)), "3 ReadyForNewScale DesiredWithinRange");
    assert_eq!(limited(8, 3, json!({}), &recommended(299, 8)), "8 ScaleDownStabilized DesiredWithinRange");
    let short = json!({ "scaleDown": { "stabilizationWindowSeconds": 60 } });
    assert_eq!(limited(8, 3, short, &recommended(61, 8)), "3 ReadyForNewScale DesiredWithinRange");
}

#[test]
fn scaling_up_waits_if_told_to() {
    let slow = json!({ "scaleUp": { "stabilizationWindowSeconds": 60 } });
    assert_eq!(limited(3, 7, slow.clone(), &recommended(30, 3)), "3 ScaleUpStabilized DesiredWithinRange");
    assert_eq!(limited(3, 7, slow, &recommended(61, 3)), "7 ReadyForNewScale DesiredWithinRange");
}

#[test]
fn an_empty_behavior_has_the_defaults() {
    assert_eq!(limited(2, 10, json!({}), &fresh()), "6 ReadyForNewScale ScaleUpLimit*");
    assert_eq!(limited(10, 30, json!({}), &fresh()), "20 ReadyForNewScale ScaleUpLimit*");
    assert_eq!(limited(6, 10, json!({}), &rescaled(10, 2, 6)), "6 ReadyForNewScale ScaleUpLimit*");
    assert_eq!(limited(50, 3, json!({}), &fresh()), "3 ReadyForNewScale DesiredWithinRange");
}

#[test]
fn policies_bound_the_growth_of_a_period() {
    let both = || json!([policy("Pods", 3, 60), policy("Percent", 50, 60)]);
    assert_eq!(limited(10, 30, up(both(), "Max"), &fresh()), "15 ReadyForNewScale ScaleUpLimit*");
    assert_eq!(limited(10, 30, up(both(), "Min"), &fresh()), "13 ReadyForNewScale ScaleUpLimit*");
    assert_eq!(limited(10, 30, up(both(), "Disabled"), &fresh()), "10 ReadyForNewScale ScaleUpLimit*");
    let pods = || json!([policy("Pods", 3, 60)]);
    assert_eq!(limited(12, 30, up(pods(), "Max"), &rescaled(30, 10, 12)), "13 ReadyForNewScale ScaleUpLimit*");
    assert_eq!(limited(12, 30, up(pods(), "Max"), &rescaled(61, 10, 12)), "15 ReadyForNewScale ScaleUpLimit*");
    // What was removed within the period may come back on top.
    assert_eq!(limited(8, 30, up(pods(), "Max"), &rescaled(30, 10, 8)), "13 ReadyForNewScale ScaleUpLimit*");
    // A small share still adds one.
    let tenth = json!([policy("Percent", 10, 60)]);
    assert_eq!(limited(2, 30, up(tenth, "Max"), &fresh()), "3 ReadyForNewScale ScaleUpLimit*");
}

#[test]
fn policies_bound_the_shrinking_of_a_period() {
    let both = || json!([policy("Pods", 5, 60), policy("Percent", 10, 60)]);
    assert_eq!(limited(90, 10, down(both(), "Max"), &fresh()), "81 ReadyForNewScale ScaleDownLimit*");
    assert_eq!(limited(90, 10, down(both(), "Min"), &fresh()), "85 ReadyForNewScale ScaleDownLimit*");
    assert_eq!(limited(90, 10, down(both(), "Disabled"), &fresh()), "90 ReadyForNewScale ScaleDownLimit*");
    assert_eq!(
        limited(85, 10, down(json!([policy("Pods", 5, 60)]), "Max"), &rescaled(30, 90, 85)),
        "85 ReadyForNewScale ScaleDownLimit*"
    );
}

#[test]
fn history_forgets_what_is_an_hour_old() {
    let mut history = recommended(0, 9);
    history.recommend(1, at(super::NOW + 3601));
    assert_eq!(
        history.recommended(std::time::Duration::from_secs(9999), at(super::NOW + 3601)).collect::<Vec<_>>(),
        [1]
    );
}
