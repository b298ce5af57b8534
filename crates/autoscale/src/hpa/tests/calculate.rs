//! Cases of upstream's replica_calculator_test.go in other numbers, and of the rules around it.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use serde_json::json;

use super::super::calculate::{Facts, Goal, Proposal, Tolerances, propose};
use super::super::pods;
use super::*;

fn calculate(
    line: &str,
    resource: &str,
    replicas: i32,
    tolerances: Tolerances,
    goal: Goal,
) -> Result<Proposal, String> {
    let (pods, readings) = scene(line);
    let metrics = pods::usage(&pods, &readings, resource, None).unwrap_or_default();
    propose(Facts { replicas, resource, pods: &pods, metrics, tolerances, now: now() }, goal)
}

/// `percent` is the goal; the answer reads `COUNT at PERCENT`.
fn utilization(percent: i32, replicas: i32, line: &str) -> String {
    let goal = Goal::Utilization { percent, container: None };
    match calculate(line, "cpu", replicas, Tolerances::of(None), goal) {
        Ok(proposal) => format!("{} at {}%", proposal.replicas, proposal.utilization.expect("it is the goal")),
        Err(error) => error,
    }
}

/// `goal` is in thousandths of a CPU; the answer reads `COUNT at THOUSANDTHS`.
fn average(goal: i64, replicas: i32, line: &str) -> String {
    match calculate(line, "cpu", replicas, Tolerances::of(None), Goal::Average(goal)) {
        Ok(proposal) => format!("{} at {}m", proposal.replicas, proposal.average),
        Err(error) => error,
    }
}

#[test]
fn the_size_follows_the_ratio_of_usage_to_goal() {
    assert_eq!(utilization(30, 3, "a=30 b=50 c=70"), "5 at 50%");
    assert_eq!(utilization(50, 5, "a=10 b=30 c=50 d=25 e=25"), "3 at 28%");
    assert_eq!(average(30, 3, "a=30 b=50 c=70"), "5 at 50m");
    assert_eq!(average(100, 4, "a=20 b=20 c=20 d=20"), "1 at 20m");
}

#[test]
fn a_ratio_near_one_changes_nothing() {
    assert_eq!(utilization(100, 3, "a=101 b=103 c=102"), "3 at 102%");
    assert_eq!(utilization(100, 3, "a=110 b=110 c=110"), "3 at 110%");
    assert_eq!(utilization(100, 3, "a=111 b=111 c=111"), "4 at 111%");
    assert_eq!(average(100, 3, "a=91 b=91 c=91"), "3 at 91m");
}

#[test]
fn pods_that_start_up_use_nothing_when_scaling_up() {
    assert_eq!(utilization(30, 3, "a!30 b=50 c=70"), "4 at 60%");
    assert_eq!(utilization(50, 3, "a=100 b=100 c~"), "4 at 100%");
    // With them at zero it would be too much already: it stays.
    assert_eq!(utilization(30, 3, "a=40 b!50 c!20"), "3 at 40%");
    assert_eq!(average(30, 3, "a!30 b=50 c=70"), "4 at 60m");
}

#[test]
fn pods_that_start_up_do_not_count_when_scaling_down() {
    assert_eq!(utilization(50, 5, "a=10 b=30 c=50 d!25 e!25"), "2 at 30%");
}

#[test]
fn pods_without_metrics_work_against_a_change() {
    assert_eq!(utilization(50, 4, "a=100 b=100 c=100 d=?"), "6 at 100%");
    assert_eq!(utilization(50, 4, "a=10 b=10 c=10 d=?"), "3 at 10%");
    assert_eq!(utilization(100, 2, "a=60 b=?"), "2 at 60%");
    assert_eq!(utilization(100, 2, "a=100 b=?"), "2 at 100%");
    // Where the goal is above the request, they use as much as the goal.
    assert_eq!(utilization(200, 2, "a=20 b=?"), "2 at 20%");
    assert_eq!(average(50, 3, "a=10 b=10 c=?"), "2 at 10m");
}

#[test]
fn pods_on_their_way_out_are_ignored() {
    assert_eq!(utilization(50, 1, "a=100 b-100"), "2 at 100%");
}

#[test]
fn nothing_to_go_by_is_an_error() {
    let unready = "did not receive metrics for targeted pods (pods might be unready)";
    assert_eq!(utilization(50, 1, "a!90 b=?"), unready);
    assert_eq!(average(50, 1, "a!90"), unready);
    assert_eq!(utilization(50, 1, ""), "no pods returned by selector while calculating replica count");
}

#[test]
fn a_behavior_sets_its_own_tolerances() {
    let behavior: HorizontalPodAutoscalerBehavior = serde_json::from_value(json!({
        "scaleUp": { "tolerance": "10m" }, "scaleDown": { "tolerance": "0.5" },
    }))
    .unwrap();
    let count = |line: &str| {
        let goal = Goal::Utilization { percent: 100, container: None };
        calculate(line, "cpu", 2, Tolerances::of(Some(&behavior)), goal).unwrap().replicas
    };
    assert_eq!(count("a=102 b=102"), 3);
    assert_eq!(count("a=51 b=51"), 2);
    assert_eq!(count("a=49 b=49"), 1);
}

#[test]
fn memory_counts_whatever_the_pod_is_doing() {
    let goal = Goal::Average(50_000);
    let proposal = calculate("a!100 b=100", "memory", 2, Tolerances::of(None), goal).unwrap();
    assert_eq!(proposal, Proposal { replicas: 4, utilization: None, average: 100_000 });
}

#[test]
fn a_young_pod_counts_once_measured_while_ready() {
    let (mut pods, readings) = scene("a=50");
    let ready_since = |pods: &mut Vec<Arc<Pod>>, second: i64| {
        let status = Arc::make_mut(&mut pods[0]).status.as_mut().unwrap();
        let time = |second| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(second));
        status.start_time = Some(time(NOW - 60));
        status.conditions.as_mut().unwrap()[0].last_transition_time = Some(time(second));
    };
    let ready = |pods: &[Arc<Pod>]| {
        let metrics = pods::usage(pods, &readings, "cpu", None).unwrap();
        pods::group(pods, &metrics, "cpu", now()).ready
    };
    ready_since(&mut pods, NOW - 10);
    assert_eq!(ready(&pods), 0, "the window of 15 s began before it was ready");
    ready_since(&mut pods, NOW - 20);
    assert_eq!(ready(&pods), 1);
}

#[test]
fn requests_must_be_known() {
    let (mut pods, _) = scene("a=50");
    let total = |pods: &[Arc<Pod>], container| pods::requests(pods, "cpu", container).map(|all| all["a"]);
    assert_eq!(total(&pods, None), Ok(100));
    assert_eq!(total(&pods, Some("app")), Ok(100));
    assert_eq!(total(&pods, Some("db")), Err("container db not found in Pod a".to_owned()));
    let spec = Arc::make_mut(&mut pods[0]).spec.as_mut().unwrap();
    spec.containers.push(serde_json::from_value(json!({ "name": "log" })).unwrap());
    assert_eq!(total(&pods, None), Err("missing request for cpu in container log of Pod a".to_owned()));
    let spec = Arc::make_mut(&mut pods[0]).spec.as_mut().unwrap();
    spec.resources = Some(serde_json::from_value(json!({ "requests": { "cpu": "300m" } })).unwrap());
    assert_eq!(total(&pods, None), Ok(300));
}
