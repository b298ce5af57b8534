use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::decide::*;

/// `"a+ b- c~"`: ready, not ready, terminating; all of one set of `scale` replicas.
fn view(scale: i32, line: &str) -> View {
    let pods = line.split_whitespace().map(|word| PodView {
        name: word[..1].to_owned(),
        ready: word.ends_with(['+', '~']),
        terminating: word.ends_with('~'),
        scale: Some(("set".to_owned(), scale)),
    });
    View {
        min_available: None,
        max_unavailable: None,
        pods: pods.collect(),
        disrupted: BTreeMap::new(),
        now: Timestamp::from_second(1000).expect("a small number"),
    }
}

#[track_caller]
fn check(view: &View, healthy: i32, desired: i32, allowed: i32) {
    let status = decide(view).expect("valid numbers").status;
    assert_eq!((status.current_healthy, status.desired_healthy, status.allowed), (healthy, desired, allowed));
}

fn percent(text: &str) -> Option<IntOrString> {
    Some(IntOrString::String(text.to_owned()))
}

#[test]
fn what_is_healthy_beyond_the_minimum_may_go() {
    check(&View { min_available: Some(IntOrString::Int(2)), ..view(3, "a+ b+ c+") }, 3, 2, 1);
    check(&View { min_available: Some(IntOrString::Int(2)), ..view(3, "a+ b- c+") }, 2, 2, 0);
    check(&View { min_available: percent("50%"), ..view(3, "a+ b+ c+") }, 3, 2, 1);
    check(&View { max_unavailable: Some(IntOrString::Int(1)), ..view(3, "a+ b+ c+") }, 3, 2, 1);
    check(&View { max_unavailable: percent("50%"), ..view(5, "a+ b+ c+ d+ e~") }, 4, 2, 2);
    check(&View { min_available: Some(IntOrString::Int(0)), ..view(0, "") }, 0, 0, 0);
}

#[test]
fn an_allowed_eviction_counts_until_it_is_seen_or_forgotten() {
    let at = |second| Timestamp::from_second(second).expect("a small number");
    let mut view = View { min_available: Some(IntOrString::Int(1)), ..view(3, "a+ b+ c+") };
    view.disrupted =
        BTreeMap::from([("a".to_owned(), at(950)), ("b".to_owned(), at(880)), ("gone".to_owned(), at(999))]);
    let plan = decide(&view).expect("valid numbers");
    assert_eq!(plan.status.disrupted.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(plan.not_deleted, ["b"]);
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(70)));
    assert_eq!((plan.status.current_healthy, plan.status.allowed), (2, 1));
}

#[test]
fn pods_that_nothing_scales_are_named() {
    let mut view = View { max_unavailable: Some(IntOrString::Int(1)), ..view(3, "a+ b+") };
    view.pods[1].scale = None;
    assert_eq!(decide(&view).expect("valid numbers").unmanaged, ["b"]);
}
