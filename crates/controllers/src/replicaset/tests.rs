use std::time::Duration;

use super::decide::*;

/// `"a+ b- c~ d* e!"`: ready, not ready, terminating, unmanaged but matching, managed but not matching.
fn pods(line: &str) -> Vec<PodView> {
    line.split_whitespace().map(|word| pod(&word[..1], &word[1..])).collect()
}

fn pod(name: &str, mark: &str) -> PodView {
    let ready = matches!(mark, "+" | "*" | "!");
    PodView {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        owned: mark != "*",
        matches: mark != "!",
        terminating: mark == "~",
        ready,
        available_in: ready.then_some(Duration::ZERO),
        order: Order { assigned: true, phase: Phase::Running, ready, uid: name.to_owned(), ..Order::default() },
        ..PodView::default()
    }
}

fn say(actions: &[Action]) -> String {
    let words: Vec<String> = actions
        .iter()
        .map(|action| match action {
            Action::Adopt { pod } => format!("adopt {pod}"),
            Action::Release { pod } => format!("release {pod}"),
            Action::Create { count } => format!("create {count}"),
            Action::Delete { pod, .. } => format!("delete {pod}"),
        })
        .collect();
    words.join(", ")
}

#[track_caller]
fn check(desired: usize, line: &str, expected: &str) {
    let view = View { desired, pods: pods(line), ..View::default() };
    assert_eq!(say(&decide(&view).actions), expected, "{desired} of {line}");
}

#[test]
fn missing_pods_are_created_and_surplus_ones_removed() {
    check(3, "", "create 3");
    check(3, "a+", "create 2");
    check(2, "a+ b+", "");
    check(1, "a+ b- c+", "delete b, delete a");
    check(0, "a+", "delete a");
    check(2, "a+ b~", "create 1");
    check(900, "", "create 500");
}

#[test]
fn orphans_are_adopted_and_strangers_released() {
    check(2, "a* b+", "adopt a");
    check(1, "a! b+", "release a");
    check(1, "a!", "release a, create 1");
}

#[test]
fn nothing_is_done_while_writes_are_in_flight_or_the_owner_goes() {
    let view = View { desired: 3, in_flight: true, ..View::default() };
    assert_eq!(decide(&view).actions, []);
    let view = View { desired: 3, deleting: true, pods: pods("a* b+"), ..View::default() };
    assert_eq!(decide(&view).actions, []);
}

#[test]
fn status_counts_each_state() {
    let mut pods = pods("a+ b- c~ d+");
    pods[3].available_in = Some(Duration::from_secs(7));
    pods[0].fully_labeled = true;
    let plan = decide(&View { desired: 3, pods, ..View::default() });
    assert_eq!(plan.counts, Counts { replicas: 3, fully_labeled: 1, ready: 2, available: 1, terminating: 1 });
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(7)));
}

/// Each pair differs in one thing; the first goes before the second.
#[test]
fn the_cheapest_pod_goes_first() {
    let base = Order { assigned: true, phase: Phase::Running, ready: true, rank: 1, ..Order::default() };
    let seconds = |count| Some(Duration::from_secs(count));
    let pairs = [
        (Order { assigned: false, ..base.clone() }, base.clone()),
        (Order { phase: Phase::Pending, ..base.clone() }, Order { phase: Phase::Unknown, ..base.clone() }),
        (Order { ready: false, ..base.clone() }, base.clone()),
        (Order { deletion_cost: -1, ..base.clone() }, base.clone()),
        (Order { rank: 3, ..base.clone() }, base.clone()),
        (Order { ready_for: seconds(1), ..base.clone() }, Order { ready_for: seconds(100), ..base.clone() }),
        (Order { restarts: 2, ..base.clone() }, base.clone()),
        (Order { age: seconds(1), ..base.clone() }, Order { age: seconds(100), ..base.clone() }),
        (
            Order { age: seconds(100), uid: "a".to_owned(), ..base.clone() },
            Order { age: seconds(90), uid: "b".to_owned(), ..base.clone() },
        ),
    ];
    for (first, second) in pairs {
        assert_eq!(removal_order(&first, &second), std::cmp::Ordering::Less, "{first:?} before {second:?}");
        assert_eq!(removal_order(&second, &first), std::cmp::Ordering::Greater);
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn any_pods() -> impl Strategy<Value = Vec<PodView>> {
        let marks = proptest::sample::select(vec!["+", "-", "~", "*", "!"]);
        proptest::collection::vec(marks, 0..12).prop_map(|marks| {
            marks.iter().enumerate().map(|(i, mark)| pod(&char::from(b'a' + i as u8).to_string(), mark)).collect()
        })
    }

    fn apply(view: &mut View, actions: Vec<Action>, made: &mut usize) {
        for action in actions {
            match action {
                Action::Adopt { pod } => named(view, &pod).owned = true,
                Action::Release { pod } => view.pods.retain(|p| p.name != pod),
                Action::Delete { pod, .. } => named(view, &pod).terminating = true,
                Action::Create { count } => {
                    for _ in 0..count {
                        *made += 1;
                        view.pods.push(PodView { name: format!("new{made}"), ..pod("n", "-") });
                    }
                }
            }
        }
    }

    fn named<'a>(view: &'a mut View, name: &str) -> &'a mut PodView {
        view.pods.iter_mut().find(|pod| pod.name == name).expect("plans name pods of the view")
    }

    proptest! {
        #[test]
        fn applying_plans_ends_with_the_wanted_number(desired in 0_usize..8, pods in any_pods()) {
            let mut view = View { desired, pods, ..View::default() };
            let mut made = 0;
            for _ in 0..3 {
                let actions = decide(&view).actions;
                apply(&mut view, actions, &mut made);
            }
            let plan = decide(&view);
            prop_assert_eq!(plan.actions, vec![]);
            prop_assert_eq!(plan.counts.replicas, desired);
        }
    }
}
