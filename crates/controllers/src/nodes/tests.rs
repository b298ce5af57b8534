use std::time::Duration;

use k8s_openapi::api::core::v1::{NodeCondition, Taint, Toleration};

use super::decide::*;
use super::{NOT_READY, UNREACHABLE};

fn condition(type_: &str, status: &str) -> NodeCondition {
    NodeCondition { type_: type_.to_owned(), status: status.to_owned(), ..NodeCondition::default() }
}

fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: key.to_owned(), effect: effect.to_owned(), ..Taint::default() }
}

fn view(ready: &str, silent: u64) -> View {
    View {
        conditions: vec![condition("Ready", ready)],
        silent_for: Duration::from_secs(silent),
        may_evict: true,
        ..View::default()
    }
}

fn say(taints: Option<&Vec<Taint>>) -> String {
    let words = taints
        .into_iter()
        .flatten()
        .map(|taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_healthy_node_is_looked_at_when_its_grace_runs_out() {
    let plan = decide(&view("True", 10));
    assert_eq!(plan, Plan { requeue_after: Some(Duration::from_secs(30)), ..Plan::default() });
}

#[test]
fn a_silent_node_becomes_unknown_and_unreachable() {
    let plan = decide(&view("True", 40));
    let conditions = plan.conditions.expect("they change");
    assert!(conditions.iter().all(|condition| condition.status == "Unknown"));
    assert_eq!(conditions[0].reason.as_deref(), Some("NodeStatusUnknown"));
    assert_eq!(conditions[1].reason.as_deref(), Some("NodeStatusNeverUpdated"));
    assert_eq!(say(plan.taints.as_ref()), "unreachable:NoSchedule unreachable:NoExecute");
    assert!(plan.evicts);
}

#[test]
fn a_node_that_never_spoke_gets_a_minute() {
    let mut view = view("True", 50);
    view.conditions.clear();
    assert_eq!(decide(&view).requeue_after, Some(Duration::from_secs(10)));
    view.silent_for = Duration::from_secs(60);
    assert_eq!(decide(&view).conditions.map(|conditions| conditions.len()), Some(4));
}

#[test]
fn taints_follow_the_conditions_and_leave_others_alone() {
    let mut view = view("True", 0);
    view.conditions.push(condition("MemoryPressure", "True"));
    view.unschedulable = true;
    view.taints = vec![taint("dedicated", "NoSchedule"), taint(NOT_READY, "NoExecute"), taint(NOT_READY, "NoSchedule")];
    let plan = decide(&view);
    assert_eq!(say(plan.taints.as_ref()), "dedicated:NoSchedule memory-pressure:NoSchedule unschedulable:NoSchedule");
}

#[test]
fn evictions_wait_for_their_turn_and_stop_when_all_nodes_are_lost() {
    let mut waiting = view("False", 0);
    waiting.may_evict = false;
    let plan = decide(&waiting);
    assert_eq!(say(plan.taints.as_ref()), "not-ready:NoSchedule");
    assert!(plan.waits_for_turn && !plan.evicts);

    let mut lost = view("Unknown", 100);
    lost.taints = vec![taint(UNREACHABLE, "NoSchedule"), taint(UNREACHABLE, "NoExecute")];
    lost.must_not_evict = true;
    assert_eq!(say(decide(&lost).taints.as_ref()), "unreachable:NoSchedule");
}

#[test]
fn losing_most_nodes_is_a_disruption() {
    assert_eq!(disruption(3, 1), Disruption::Normal);
    assert_eq!(disruption(1, 2), Disruption::Normal);
    assert_eq!(disruption(2, 3), Disruption::Partial);
    assert_eq!(disruption(0, 1), Disruption::Full);
    assert_eq!(disruption(0, 0), Disruption::Normal);
}

fn toleration(key: &str, operator: &str, seconds: Option<i64>) -> Toleration {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Toleration { key: text(key), operator: text(operator), toleration_seconds: seconds, ..Toleration::default() }
}

#[test]
fn a_pod_stays_as_long_as_it_tolerates() {
    let taints = [taint(UNREACHABLE, "NoExecute"), taint("soft", "NoSchedule")];
    let stay_with = |tolerations: &[Toleration]| stay(&taints, tolerations);
    assert_eq!(stay_with(&[]), Stay::For(Duration::ZERO));
    assert_eq!(stay_with(&[toleration(UNREACHABLE, "Exists", Some(300))]), Stay::For(Duration::from_secs(300)));
    assert_eq!(stay_with(&[toleration("", "Exists", None)]), Stay::Forever);
    assert_eq!(stay_with(&[toleration("other", "Exists", None)]), Stay::For(Duration::ZERO));
    assert_eq!(stay_with(&[toleration(UNREACHABLE, "", Some(-5))]), Stay::For(Duration::ZERO));
    assert_eq!(stay(&[taint("soft", "NoSchedule")], &[]), Stay::Forever);
}
