use std::time::Duration;

use super::decide::*;

/// `"0+ 1- 2~ 3x 4+old"`: ready, not ready, terminating, failed; with the revision after the mark.
fn view(replicas: i32, line: &str) -> View {
    let pods = line.split_whitespace().map(|word| {
        let (ordinal, rest) = word.split_at(1);
        let (mark, revision) = rest.split_at(1);
        let ready = matches!(mark, "+" | "~");
        let pod = PodView {
            revision: if revision.is_empty() { "new".to_owned() } else { revision.to_owned() },
            ready,
            available_in: ready.then_some(Duration::ZERO),
            terminating: mark == "~",
            finished: mark == "x",
            failed: mark == "x",
            identity_matches: true,
            ..PodView::default()
        };
        (ordinal.parse().expect("an ordinal"), pod)
    });
    View {
        replicas,
        partition: Some(0),
        current_revision: "old".to_owned(),
        update_revision: "new".to_owned(),
        pods: pods.collect(),
        ..View::default()
    }
}

fn say(view: &View) -> String {
    let words = decide(view).actions.into_iter().map(|action| match action {
        Action::Create { ordinal, revision } => format!("create {ordinal} {revision}"),
        Action::Claims { ordinal } => format!("claims {ordinal}"),
        Action::Repair { ordinal } => format!("repair {ordinal}"),
        Action::Delete { ordinal, why } => format!("delete {ordinal} {why:?}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(replicas: i32, line: &str, expected: &str) {
    assert_eq!(say(&view(replicas, line)), expected, "{replicas} of {line}");
}

#[test]
fn pods_come_one_after_the_other_and_go_in_reverse() {
    check(3, "", "create 0 new");
    check(3, "0-", "");
    check(3, "0+", "create 1 new");
    check(3, "0+ 2+", "create 1 new");
    check(1, "0+ 1+ 2+", "delete 2 Surplus");
    check(1, "0+ 1+ 2~", "");
    check(1, "0- 1+", "");
    check(1, "0+ 1- 2-", "");
    check(1, "0+ 1+ 2-", "delete 2 Surplus");
}

#[test]
fn a_failed_pod_is_made_anew() {
    check(2, "0x 1+", "delete 0 Failed");
}

#[test]
fn parallel_sets_do_all_at_once() {
    let parallel = |replicas, line| say(&View { parallel: true, ..view(replicas, line) });
    assert_eq!(parallel(3, ""), "create 0 new, create 1 new, create 2 new");
    assert_eq!(parallel(0, "0+ 1-"), "delete 1 Surplus, delete 0 Surplus");
}

#[test]
fn an_update_goes_from_the_top_one_at_a_time() {
    check(3, "0+old 1+old 2+old", "delete 2 Outdated");
    check(3, "0+old 1+old 2+", "delete 1 Outdated");
    check(3, "0+old 1+old 2-", "");
    check(3, "0+ 1+ 2+", "");
}

#[test]
fn a_partition_keeps_the_lower_pods() {
    let mut partitioned = view(3, "0+old 1+old 2+");
    partitioned.partition = Some(2);
    assert_eq!(say(&partitioned), "");
    partitioned.pods.remove(&1);
    assert_eq!(say(&partitioned), "create 1 old", "it comes back as it was");
}

#[test]
fn on_delete_waits_for_a_person() {
    let manual = View { on_delete: true, partition: None, ..view(2, "0+old 1+old") };
    assert_eq!(say(&manual), "");
    let deleted = View { on_delete: true, partition: None, ..view(2, "0+old") };
    assert_eq!(say(&deleted), "create 1 new");
}

#[test]
fn ordinals_may_start_later() {
    let later = View { start: 5, ..view(2, "5+") };
    assert_eq!(say(&later), "create 6 new");
    let moved = View { start: 1, ..view(1, "0+ 1+") };
    assert_eq!(say(&moved), "delete 0 Surplus");
}

#[test]
fn the_update_becomes_current_when_all_pods_have_it() {
    let status = decide(&view(2, "0+old 1+")).status;
    assert_eq!((status.current, status.updated, status.current_revision.as_str()), (1, 1, "old"));
    let status = decide(&view(2, "0+ 1+")).status;
    assert_eq!((status.current, status.updated, status.current_revision.as_str()), (2, 2, "new"));
}
