use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PodSpec};
use serde_json::json;

use super::decide::*;

/// `"n1:a+ n2:b-,c~ n3: (n4):d+ n5:e+new"`: pods by node, ready, not ready, terminating, failed; nodes in
/// brackets want none; pods are old unless marked.
fn view(line: &str) -> View {
    let nodes = line.split_whitespace().map(|word| {
        let (node, pods) = word.split_once(':').expect("node:pods");
        let wanted = !node.starts_with('(');
        let pods = pods.split(',').filter(|pod| !pod.is_empty()).map(pod);
        let view = NodeView { should_run: wanted, may_stay: wanted, pods: pods.collect() };
        (node.trim_matches(['(', ')']).to_owned(), view)
    });
    View { nodes: nodes.collect(), max_unavailable: 1, ..View::default() }
}

fn pod(word: &str) -> PodView {
    let (name, mark) = (&word[..1], &word[1..2]);
    PodView {
        name: name.to_owned(),
        created: jiff::Timestamp::from_second(i64::from(name.as_bytes()[0])).expect("a small number"),
        updated: word.ends_with("new"),
        terminating: mark == "~",
        failed: mark == "x",
        ready: mark == "+",
        available_in: (mark == "+").then_some(Duration::ZERO),
        succeeded: false,
    }
}

fn say(view: &View) -> String {
    let words = decide(view).actions.into_iter().map(|action| match action {
        Action::Create { node } => format!("create on {node}"),
        Action::Delete { pod, why, .. } => format!("delete {pod} {why:?}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(line: &str, expected: &str) {
    assert_eq!(say(&view(line)), expected, "{line}");
}

#[test]
fn every_node_that_wants_one_gets_one_pod() {
    check("n1: n2:a+new n3:b~new", "create on n1");
    check("n1:a+new,b+new", "delete b Surplus");
    check("(n1):a+new", "delete a Surplus");
    check("n1:axnew", "delete a Failed");
}

#[test]
fn an_update_exchanges_as_many_as_may_be_missing() {
    check("n1:a+ n2:b+ n3:c+", "delete a Outdated");
    check("n1:a+ n2:b-new n3:c+", "");
    check("n1:a+ n2:b- n3:c+", "delete b Outdated");
    let two = View { max_unavailable: 2, ..view("n1:a+ n2:b+ n3:c+") };
    assert_eq!(say(&two), "delete a Outdated, delete b Outdated");
    let manual = View { on_delete: true, ..view("n1:a+") };
    assert_eq!(say(&manual), "");
}

#[test]
fn a_surge_puts_the_new_pod_beside_the_old() {
    let surge = |line| say(&View { max_surge: 1, max_unavailable: 0, ..view(line) });
    assert_eq!(surge("n1:a+ n2:b+"), "create on n1");
    assert_eq!(surge("n1:a+,c-new n2:b+"), "");
    assert_eq!(surge("n1:a+,c+new n2:b+"), "delete a Outdated, create on n2");
}

#[test]
fn nothing_is_done_while_writes_are_in_flight() {
    assert_eq!(say(&View { in_flight: true, ..view("n1:") }), "");
    assert_eq!(say(&View { deleting: true, ..view("n1:") }), "");
}

#[test]
fn status_counts_nodes() {
    let counts = decide(&view("n1:a+new n2:b- n3: (n4):d+")).counts;
    assert_eq!(counts, Counts { desired: 3, current: 2, misscheduled: 1, ready: 1, available: 1, updated: 1 });
}

#[test]
fn daemons_tolerate_what_befalls_their_node_but_not_a_dedication() {
    let spec = super::daemon_spec(PodSpec::default());
    let node = |key: &str, effect: &str| -> Node {
        let taints = json!([{ "key": key, "effect": effect }]);
        serde_json::from_value(json!({ "metadata": { "name": "n1" }, "spec": { "taints": taints } })).expect("a node")
    };
    assert_eq!(super::fits(&spec, &node("node.kubernetes.io/unschedulable", "NoSchedule")), (true, true));
    assert_eq!(super::fits(&spec, &node("node.kubernetes.io/unreachable", "NoExecute")), (true, true));
    assert_eq!(super::fits(&spec, &node("dedicated", "NoSchedule")), (false, true));
    assert_eq!(super::fits(&spec, &node("dedicated", "NoExecute")), (false, false));
}

#[test]
fn a_pod_is_known_by_the_node_it_was_made_for() {
    let spec = super::bound_to(PodSpec::default(), "n7");
    let pod = k8s_openapi::api::core::v1::Pod { spec: Some(spec), ..Default::default() };
    assert_eq!(super::target_node(&pod).as_deref(), Some("n7"));
}
