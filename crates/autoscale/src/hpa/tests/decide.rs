use control::ObjectKey;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus};
use machinery::selector::LabelSelector;
use serde_json::{Value, json};

use super::super::decide::{Plan, View, decide, rescaled};
use super::super::history::History;
use super::*;

fn cpu(percent: i32) -> Value {
    json!({ "type": "Resource", "resource": {
        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": percent } } })
}

/// Between 2 and 5 pods, by these metrics.
fn spec(metrics: &[Value]) -> HorizontalPodAutoscalerSpec {
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let spec = json!({ "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5, "metrics": metrics });
    serde_json::from_value(spec).unwrap()
}

struct Case<'a> {
    metrics: &'a [Value],
    replicas: i32,
    selector: &'a str,
    rivals: &'a [(ObjectKey, LabelSelector)],
    pods: &'a str,
}

const PLAIN: Case = Case { metrics: &[], replicas: 2, selector: "app=web", rivals: &[], pods: "" };

fn plan(case: &Case, history: &History) -> Plan {
    let (pods, readings) = scene(case.pods);
    let view = View {
        key: &ObjectKey::new("shop", "web"),
        spec: &spec(case.metrics),
        status: HorizontalPodAutoscalerStatus::default(),
        replicas: case.replicas,
        selector: case.selector,
        pods: &pods,
        rivals: case.rivals,
        readings: &readings,
        now: now(),
    };
    decide(&view, history)
}

fn rescale(plan: &Plan) -> String {
    let rescale = plan.rescale.as_ref();
    rescale.map_or("stay".to_owned(), |rescale| format!("{}->{}: {}", rescale.from, rescale.to, rescale.reason))
}

/// `AbleToScale=ReadyForNewScale !ScalingLimited=DesiredWithinRange`
fn conditions(plan: &Plan) -> String {
    let conditions = plan.status.conditions.iter().flatten().map(|condition| {
        let not = if condition.status == "True" { "" } else { "!" };
        format!("{not}{}={}", condition.type_, condition.reason.as_deref().unwrap_or_default())
    });
    conditions.collect::<Vec<_>>().join(" ")
}

fn message<'a>(plan: &'a Plan, type_: &str) -> &'a str {
    let found = plan.status.conditions.iter().flatten().find(|condition| condition.type_ == type_);
    found.and_then(|condition| condition.message.as_deref()).unwrap_or_default()
}

fn events(plan: &Plan) -> Vec<String> {
    plan.events.iter().map(|(reason, message)| format!("{reason}: {message}")).collect()
}

#[test]
fn busy_pods_get_company() {
    let plan = plan(&Case { metrics: &[cpu(50)], pods: "a=80 b=60", ..PLAIN }, &History::default());
    assert_eq!(rescale(&plan), "2->3: cpu resource utilization (percentage of request) above target");
    assert_eq!(
        conditions(&plan),
        "AbleToScale=ReadyForNewScale ScalingActive=ValidMetricFound !ScalingLimited=DesiredWithinRange"
    );
    assert_eq!(
        message(&plan, "ScalingActive"),
        "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"
    );
    assert_eq!(
        serde_json::to_value(&plan.status.current_metrics).unwrap(),
        json!([{ "type": "Resource", "resource": {
            "name": "cpu", "current": { "averageUtilization": 70, "averageValue": "70m" } } }])
    );
    assert_eq!((plan.status.current_replicas, plan.status.desired_replicas), (Some(2), 3));
    assert_eq!(plan.recommendation, Some(3));
}

#[test]
fn the_metric_that_asks_for_most_wins() {
    let memory = json!({ "type": "Resource", "resource": {
        "name": "memory", "target": { "type": "AverageValue", "averageValue": "20" } } });
    let plan = plan(&Case { metrics: &[cpu(50), memory], pods: "a=30 b=60", ..PLAIN }, &History::default());
    assert_eq!(rescale(&plan), "2->4: memory resource above target");
    assert_eq!(conditions(&plan).rsplit(' ').next(), Some("ScalingLimited=ScaleUpLimit"));
}

#[test]
fn a_container_is_measured_alone() {
    let container = json!({ "type": "ContainerResource", "containerResource": {
        "name": "cpu", "container": "app", "target": { "type": "Utilization", "averageUtilization": 50 } } });
    let plan = plan(&Case { metrics: &[container], pods: "a=80 b=60", ..PLAIN }, &History::default());
    assert_eq!(rescale(&plan), "2->3: cpu container resource utilization (percentage of request) above target");
    let status = &plan.status.current_metrics.as_ref().unwrap()[0];
    assert_eq!(status.container_resource.as_ref().unwrap().container, "app");
}

#[test]
fn idle_pods_go_once_it_has_been_quiet() {
    let mut history = History::default();
    history.start(4, at(NOW - 60));
    let case = Case { metrics: &[cpu(50)], replicas: 4, pods: "a=10 b=10 c=10 d=10", ..PLAIN };
    let held = plan(&case, &history);
    assert_eq!((rescale(&held).as_str(), held.status.desired_replicas), ("stay", 4));
    assert!(conditions(&held).starts_with("AbleToScale=ScaleDownStabilized "));
    let freed = plan(&case, &History::default());
    assert_eq!(rescale(&freed), "4->2: All metrics below target");
    assert_eq!(conditions(&freed).rsplit(' ').next(), Some("ScalingLimited=TooFewReplicas"));
}

#[test]
fn a_size_out_of_bounds_is_brought_back_without_metrics() {
    let at = |replicas| rescale(&plan(&Case { metrics: &[cpu(50)], replicas, ..PLAIN }, &History::default()));
    assert_eq!(at(7), "7->5: Current number of replicas above Spec.MaxReplicas");
    assert_eq!(at(1), "1->2: Current number of replicas below Spec.MinReplicas");
}

#[test]
fn zero_replicas_disable_it() {
    let plan = plan(&Case { metrics: &[cpu(50)], replicas: 0, ..PLAIN }, &History::default());
    assert_eq!(rescale(&plan), "stay");
    assert_eq!(conditions(&plan), "AbleToScale=SucceededGetScale !ScalingActive=ScalingDisabled");
}

#[test]
fn without_metrics_it_says_why() {
    let plan = plan(&Case { metrics: &[cpu(50)], pods: "a=? b=?", ..PLAIN }, &History::default());
    assert_eq!(rescale(&plan), "stay");
    let why = "failed to get cpu utilization: unable to get metrics for resource cpu: \
               no metrics returned from resource metrics API";
    assert_eq!(
        events(&plan),
        [
            format!("FailedGetResourceMetric: {why}"),
            format!(
                "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: \
                 failed to get cpu resource metric value: {why}"
            ),
        ]
    );
    assert_eq!(conditions(&plan), "AbleToScale=SucceededGetScale !ScalingActive=FailedGetResourceMetric");
    assert_eq!(message(&plan, "ScalingActive"), format!("the HPA was unable to compute the replica count: {why}"));
}

#[test]
fn a_metric_that_fails_forbids_scaling_down_only() {
    let requests = json!({ "type": "Pods", "pods": {
        "metric": { "name": "rps" }, "target": { "type": "AverageValue", "averageValue": "10" } } });
    let metrics = [requests, cpu(50)];
    let up = plan(&Case { metrics: &metrics, pods: "a=80 b=60", ..PLAIN }, &History::default());
    assert!(rescale(&up).starts_with("2->3: cpu"));
    assert_eq!(up.status.current_metrics.as_ref().unwrap()[0].type_, "", "it keeps its place");
    assert!(events(&up)[0].starts_with("FailedGetPodsMetric: unable to get metric rps: "));
    let busy = Case { metrics: &metrics, replicas: 4, pods: "a=10 b=10 c=10 d=10", ..PLAIN };
    let down = plan(&busy, &History::default());
    assert_eq!(rescale(&down), "stay");
    assert!(conditions(&down).ends_with("!ScalingActive=FailedGetPodsMetric"));
}

#[test]
fn pods_of_two_autoscalers_are_left_alone() {
    let rivals = [(ObjectKey::new("shop", "other"), LabelSelector::parse("app").unwrap())];
    let case = Case { metrics: &[cpu(50)], pods: "a=80 b=60", rivals: &rivals, ..PLAIN };
    let plan = plan(&case, &History::default());
    assert_eq!(rescale(&plan), "stay");
    assert_eq!(
        events(&plan)[0],
        "AmbiguousSelector: pods by selector app=web are controlled by multiple HPAs: [{web shop} {other shop}]"
    );
}

#[test]
fn a_target_without_a_selector_is_refused() {
    let plan = plan(&Case { metrics: &[cpu(50)], selector: "", ..PLAIN }, &History::default());
    assert_eq!(events(&plan)[0], "SelectorRequired: selector is required");
    assert_eq!(message(&plan, "ScalingActive"), "the HPA target's scale is missing a selector");
}

#[test]
fn the_status_tells_how_the_rescale_ended() {
    let case = Case { metrics: &[cpu(50)], pods: "a=80 b=60", ..PLAIN };
    let mut done = plan(&case, &History::default());
    rescaled(&mut done, 2, Ok(()), now());
    assert_eq!(message(&done, "AbleToScale"), "the HPA controller was able to update the target scale to 3");
    assert_eq!(done.status.last_scale_time.map(|time| time.0), Some(now()));

    let mut failed = plan(&case, &History::default());
    rescaled(&mut failed, 2, Err("no".to_owned()), now());
    assert!(conditions(&failed).starts_with("!AbleToScale=FailedUpdateScale "));
    assert_eq!((failed.status.desired_replicas, failed.status.last_scale_time), (2, None));
}

#[test]
fn no_metrics_are_no_wish_for_fewer_pods() {
    let plan = plan(&Case { replicas: 4, pods: "a=10", ..PLAIN }, &History::default());
    assert_eq!(rescale(&plan), "stay");
    assert_eq!(events(&plan), ["FailedComputeMetricsReplicas: no metrics are set"]);
}
