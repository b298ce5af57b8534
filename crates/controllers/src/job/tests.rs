use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

use super::decide::*;
use super::{pods, status};

/// `"a+ b. c! d~ e+="`: succeeded, active, failed, terminating; `=` means counted: without its finalizer.
fn view(completions: Option<i32>, parallelism: i32, line: &str) -> View {
    let pods = line.split_whitespace().map(|word| {
        let mark = &word[1..2];
        PodView {
            name: word[..1].to_owned(),
            uid: word[..1].to_owned(),
            phase: match mark {
                "+" => Phase::Succeeded,
                "!" => Phase::Failed,
                _ => Phase::Active,
            },
            terminating: mark == "~",
            tracked: !word.ends_with('='),
            index: word[2..].trim_end_matches('=').parse().ok(),
            ..PodView::default()
        }
    });
    View {
        completions,
        parallelism,
        backoff_limit: 6,
        pods: pods.collect(),
        started: Some(at(0)),
        now: at(1000),
        ..View::default()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a small number")
}

fn say(plan: &Plan) -> String {
    let words = plan.actions.iter().map(|action| match action {
        Action::Untrack { pod } => format!("untrack {pod}"),
        Action::Create { count, indexes } if indexes.is_empty() => format!("create {count}"),
        Action::Create { indexes, .. } => format!("create {indexes:?}"),
        Action::Delete { pod, .. } => format!("delete {pod}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(completions: Option<i32>, parallelism: i32, line: &str, expected: &str) {
    assert_eq!(say(&decide(&view(completions, parallelism, line))), expected, "{line}");
}

#[test]
fn pods_are_made_until_enough_have_succeeded() {
    check(Some(5), 2, "", "create 2");
    check(Some(5), 2, "a+ b.", "untrack a, create 1");
    check(Some(2), 2, "a+ b.", "untrack a");
    check(Some(5), 1, "a. b.", "delete a");
    check(None, 3, "", "create 3");
    check(None, 3, "a+ b.", "untrack a");
}

#[test]
fn a_pod_is_noted_then_let_go_then_counted() {
    let mut view = view(Some(2), 1, "a+");
    let plan = decide(&view);
    assert_eq!(plan.counted.uncounted_succeeded, BTreeSet::from(["a".to_owned()]));
    assert_eq!(plan.counted.succeeded, 0);
    view.counted = plan.counted;
    view.pods[0].tracked = false;
    let plan = decide(&view);
    assert_eq!((plan.counted.succeeded, plan.counted.uncounted_succeeded.len()), (1, 0));
    view.counted = plan.counted;
    view.pods.clear();
    assert_eq!(decide(&view).counted.succeeded, 1, "counted once");
}

#[test]
fn an_indexed_job_fills_its_indexes() {
    let indexed = |line| View { indexed: true, ..view(Some(4), 3, line) };
    assert_eq!(say(&decide(&indexed(""))), "create [0, 1, 2]");
    let plan = decide(&indexed("a+0 b.2"));
    assert_eq!(say(&plan), "untrack a, create [1, 3]");
    assert_eq!((plan.counted.succeeded, plan.counted.completed), (1, BTreeSet::from([0])));
}

#[test]
fn too_many_failures_end_the_job_and_its_pods() {
    let failing = View { backoff_limit: 1, ..view(Some(5), 2, "a! b! c.") };
    let plan = decide(&failing);
    assert_eq!(say(&plan), "untrack a, untrack b, delete c");
    assert!(matches!(&plan.end, End::Decided(Err(reason)) if reason.reason == "BackoffLimitExceeded"));
    assert!(!can_close(&plan), "its pods still run");
}

#[test]
fn a_deadline_ends_the_job_and_wakes_it() {
    let mut late = view(Some(1), 1, "a.");
    late.deadline = Some(Duration::from_secs(1500));
    assert_eq!(decide(&late).requeue_after, Some(Duration::from_secs(500)));
    late.now = at(1500);
    assert!(matches!(decide(&late).end, End::Decided(Err(reason)) if reason.reason == "DeadlineExceeded"));
}

#[test]
fn a_suspended_job_runs_nothing() {
    let suspended = View { suspended: true, ..view(Some(1), 1, "a.") };
    let plan = decide(&suspended);
    assert_eq!((say(&plan).as_str(), plan.started), ("delete a", None));
}

#[test]
fn failures_delay_the_next_pod() {
    let mut failing = view(Some(5), 1, "a!= b!=");
    failing.pods[0].finished_at = Some(at(980));
    failing.pods[1].finished_at = Some(at(995));
    let plan = decide(&failing);
    assert_eq!((say(&plan).as_str(), plan.requeue_after), ("", Some(Duration::from_secs(15))));
    failing.now = at(1015);
    assert_eq!(say(&decide(&failing)), "create 1");
}

#[test]
fn a_terminating_pod_is_replaced_at_once_or_when_it_has_ended() {
    check(Some(1), 1, "a~", "untrack a, create 1");
    let patient = View { replace_failed_only: true, ..view(Some(1), 1, "a~") };
    assert_eq!(say(&decide(&patient)), "");
}

#[test]
fn a_failure_policy_may_end_the_job_or_forgive_the_pod() {
    let mut forgiven = view(Some(1), 1, "a!");
    forgiven.pods[0].verdict = Verdict::Ignore;
    assert_eq!(decide(&forgiven).counted.uncounted_failed.len(), 0);
    forgiven.pods[0].verdict = Verdict::FailJob("exit code 42".to_owned());
    assert!(matches!(decide(&forgiven).end, End::Decided(Err(reason)) if reason.reason == "PodFailurePolicy"));
}

fn job() -> Job {
    serde_json::from_value(json!({
        "metadata": { "name": "pi", "namespace": "default", "uid": "u" },
        "spec": { "completions": 1, "parallelism": 1, "template": { "spec": { "containers": [{ "name": "c" }] } } },
    }))
    .expect("a job")
}

#[test]
fn the_conditions_come_in_two_steps() {
    let job = job();
    let mut plan = decide(&view(Some(1), 1, "a+"));
    let decided = status::apply(&job, &plan, at(1000));
    let types = |job: &Job| {
        let all = job.status.iter().flat_map(|status| status.conditions.clone().unwrap_or_default());
        all.map(|condition| condition.type_).collect::<Vec<_>>()
    };
    assert_eq!(types(&decided), ["SuccessCriteriaMet"]);
    plan.counted = Counted { succeeded: 1, ..Counted::default() };
    let closed = status::apply(&decided, &plan, at(1001));
    assert_eq!(types(&closed), ["SuccessCriteriaMet", "Complete"]);
    assert_eq!(status::end(&closed), End::Closed);
    assert!(closed.status.expect("a status").completion_time.is_some());
}

#[test]
fn an_indexed_pod_knows_its_index() {
    let pod = pods::new_pod(&job(), Some(3));
    let spec = pod.spec.expect("a spec");
    assert_eq!(spec.hostname.as_deref(), Some("pi-3"));
    assert_eq!(spec.containers[0].env.as_ref().expect("env")[0].name, "JOB_COMPLETION_INDEX");
    assert_eq!(pod.metadata.generate_name.as_deref(), Some("pi-3-"));
}
