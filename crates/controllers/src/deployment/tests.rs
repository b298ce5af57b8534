use std::time::Duration;

use jiff::Timestamp;

use super::conditions::Conditions;
use super::decide::*;

const NOW: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// `"new 2/3 old 1/1"`: name, available of wanted; the set `new` has the present template.
fn sets(line: &str) -> Vec<SetView> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.chunks(2).enumerate().map(|(i, pair)| set(pair[0], pair[1], i)).collect()
}

fn set(name: &str, counts: &str, age: usize) -> SetView {
    let (available, wanted) = counts.split_once('/').expect("available/wanted");
    let (available, wanted) = (available.parse().unwrap(), wanted.parse().unwrap());
    SetView {
        name: name.to_owned(),
        created: at(NOW - 100 - i64::try_from(age).unwrap()),
        current: name == "new",
        wanted,
        replicas: wanted,
        ready: available,
        available,
        terminating: 0,
        revision: if name == "new" { 9 } else { 8 - i64::try_from(age).unwrap() },
        noted_desired: None,
        noted_max: None,
        observed: true,
        deleting: false,
        stale: false,
        failure: None,
    }
}

fn view(desired: i32, surge: i32, unavailable: i32, line: &str) -> View {
    let mut sets = sets(line);
    for set in &mut sets {
        set.noted_desired = Some(desired);
        set.noted_max = Some(desired + surge);
    }
    View {
        name: "web".to_owned(),
        generation: 1,
        desired,
        paused: false,
        deleting: false,
        strategy: Strategy::RollingUpdate { max_surge: surge, max_unavailable: unavailable },
        progress_deadline: Some(Duration::from_secs(600)),
        history_limit: Some(10),
        sets,
        old_pods_running: false,
        new_set_name: "new".to_owned(),
        status: Status::default(),
        now: at(NOW),
    }
}

fn say(actions: &[Action]) -> String {
    let words = actions.iter().map(|action| match action {
        Action::Create { replicas, revision } => format!("create {replicas} as #{revision}"),
        Action::Refresh { set, revision } => format!("refresh {set} as #{revision}"),
        Action::Scale { set, from, to } => format!("{set} {from} to {to}"),
        Action::Delete { set } => format!("delete {set}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(view: &View, expected: &str) {
    assert_eq!(say(&decide(view).actions), expected);
}

#[test]
fn a_rolling_update_grows_the_new_set_and_then_shrinks_the_old() {
    check(&view(3, 1, 0, ""), "create 3 as #1");
    check(&view(3, 1, 0, "old 3/3"), "create 1 as #9");
    check(&view(3, 1, 0, "new 0/1 old 3/3"), "");
    check(&view(3, 1, 0, "new 1/1 old 3/3"), "old 3 to 2");
    check(&view(3, 1, 0, "new 1/1 old 2/2"), "new 1 to 2");
    check(&view(3, 0, 1, "old 3/3"), "create 0 as #9, old 3 to 2");
    check(&view(10, 3, 2, "new 0/3 old 10/10"), "old 10 to 8");
    check(&view(10, 3, 2, "new 0/5 old 8/8"), "");
}

#[test]
fn pods_that_never_became_available_go_first() {
    check(&view(3, 1, 1, "new 1/1 bad 0/1 old 2/2"), "bad 1 to 0, old 2 to 1");
    check(&view(4, 0, 2, "new 0/1 old 1/3"), "old 3 to 2");
}

#[test]
fn recreate_waits_until_the_old_pods_are_gone() {
    let mut view = view(3, 0, 0, "old 3/3");
    view.strategy = Strategy::Recreate;
    check(&view, "old 3 to 0");
    view.sets = sets("old 0/0");
    view.old_pods_running = true;
    check(&view, "");
    view.old_pods_running = false;
    check(&view, "create 3 as #9");
}

#[test]
fn a_resize_in_the_middle_of_a_rollout_is_shared_in_proportion() {
    let mut view = view(10, 3, 2, "new 5/5 old 8/8");
    view.desired = 20;
    view.strategy = Strategy::RollingUpdate { max_surge: 5, max_unavailable: 2 };
    check(&view, "old 8 to 15, new 5 to 10");
    view.desired = 0;
    check(&view, "old 8 to 0, new 5 to 0");
}

#[test]
fn a_paused_deployment_is_resized_but_not_rolled() {
    let mut paused = view(3, 1, 0, "old 3/3");
    paused.paused = true;
    check(&paused, "");
    paused.desired = 5;
    check(&paused, "old 3 to 5");
    let plan = decide(&paused);
    let progressing = plan.status.conditions.progressing().expect("pausing is noted");
    assert_eq!((progressing.status.as_str(), progressing.reason.as_str()), ("Unknown", "DeploymentPaused"));
}

#[test]
fn a_rollback_gives_the_old_set_a_new_revision() {
    let mut view = view(3, 1, 0, "new 0/0 old 3/3");
    view.sets[0].revision = 2;
    view.sets[1].revision = 3;
    check(&view, "refresh new as #4, new 0 to 1");
}

#[test]
fn history_beyond_the_limit_is_deleted_when_all_is_done() {
    let mut view = view(1, 1, 0, "new 1/1 c 0/0 b 0/0 a 0/0");
    view.history_limit = Some(1);
    check(&view, "");
    view.status = decide(&view).status;
    check(&view, "delete a, delete b");
    view.history_limit = None;
    check(&view, "");
}

/// `status reason` of Progressing, then of Available.
fn conditions(status: &Status) -> String {
    let one = |type_| status.conditions.get(type_).map_or("-".to_owned(), |c| format!("{} {}", c.status, c.reason));
    format!("{}, {}", one("Progressing"), one("Available"))
}

#[test]
fn conditions_tell_the_story_of_a_rollout() {
    let mut view = view(1, 1, 0, "");
    let mut step = |line: &str, now: i64| {
        view.sets = sets(line);
        view.now = at(now);
        let plan = decide(&view);
        view.status = plan.status;
        (conditions(&view.status), plan.requeue_after.map(|after| after.as_secs()))
    };
    let unavailable = "False MinimumReplicasUnavailable";
    assert_eq!(step("", NOW), (format!("True NewReplicaSetCreated, {unavailable}"), Some(601)));
    assert_eq!(step("new 0/1", NOW + 1), (format!("True ReplicaSetUpdated, {unavailable}"), Some(601)));
    assert_eq!(step("new 0/1", NOW + 11), (format!("True ReplicaSetUpdated, {unavailable}"), Some(591)));
    assert_eq!(step("new 0/1", NOW + 602), (format!("False ProgressDeadlineExceeded, {unavailable}"), None));
    let done = "True NewReplicaSetAvailable, True MinimumReplicasAvailable".to_owned();
    assert_eq!(step("new 1/1", NOW + 700), (done.clone(), None));
    // A pod lost later is no rollout.
    let lost = format!("True NewReplicaSetAvailable, {unavailable}");
    assert_eq!(step("new 0/1", NOW + 9999).0, lost);
}

#[test]
fn a_failing_replica_set_shows_in_the_deployment() {
    let mut view = view(1, 1, 0, "new 0/1");
    view.sets[0].failure = Some(("FailedCreate".to_owned(), "exceeded quota".to_owned()));
    let status = decide(&view).status;
    let failure = status.conditions.get("ReplicaFailure").expect("it is shown");
    assert_eq!((failure.reason.as_str(), failure.message.as_str()), ("FailedCreate", "exceeded quota"));
    view.status = status;
    view.sets[0].failure = None;
    assert!(decide(&view).status.conditions.get("ReplicaFailure").is_none());
}

mod simulation {
    use super::{Action, Conditions, Duration, SetView, View, conditions, decide, max_total, set, view};
    use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

    /// Replica sets and their pods, of which only the counts matter.
    struct Cluster {
        view: View,
        templates: usize,
    }

    impl Cluster {
        fn new(desired: i32, surge: i32, unavailable: i32) -> Self {
            let mut view = view(desired, surge, unavailable, "");
            view.history_limit = Some(2);
            Self { view, templates: 1 }
        }

        fn change_template(&mut self) {
            self.templates += 1;
            self.view.new_set_name = format!("set{}", self.templates);
            self.view.sets.iter_mut().for_each(|set| set.current = false);
        }

        /// Runs the controller once; answers whether it changed anything.
        fn reconcile(&mut self) -> bool {
            self.view.now += Duration::from_secs(1);
            let plan = decide(&self.view);
            let changed = !plan.actions.is_empty() || plan.status != self.view.status;
            self.view.status = plan.status;
            for action in plan.actions {
                self.apply(action);
            }
            changed
        }

        fn apply(&mut self, action: Action) {
            let (desired, max) = (Some(self.view.desired), Some(max_total(&self.view)));
            match action {
                Action::Create { replicas, revision } => {
                    let mut set = set("new", &format!("0/{replicas}"), 0);
                    set.name.clone_from(&self.view.new_set_name);
                    (set.replicas, set.created, set.revision) = (0, self.view.now, revision);
                    (set.noted_desired, set.noted_max) = (desired, max);
                    self.view.sets.push(set);
                }
                Action::Scale { set, to, .. } => {
                    let set = self.named(&set);
                    (set.wanted, set.noted_desired, set.noted_max) = (to, desired, max);
                }
                Action::Refresh { set, revision } => self.named(&set).revision = revision,
                Action::Delete { set } => self.view.sets.retain(|old| old.name != set),
            }
        }

        fn named(&mut self, name: &str) -> &mut SetView {
            self.view.sets.iter_mut().find(|set| set.name == name).expect("plans name sets of the view")
        }

        /// The replica set controller: makes and removes pods, unavailable ones first.
        fn sync_pods(&mut self) {
            for set in &mut self.view.sets {
                set.replicas = set.wanted;
                set.available = set.available.min(set.wanted);
                set.ready = set.available;
            }
        }

        fn become_ready(&mut self, which: usize) {
            let count = self.view.sets.len().max(1);
            if let Some(set) = self.view.sets.get_mut(which % count) {
                set.available = (set.available + 1).min(set.replicas);
                set.ready = set.available;
            }
        }

        fn fail(&mut self, which: usize) {
            let count = self.view.sets.len().max(1);
            if let Some(set) = self.view.sets.get_mut(which % count) {
                set.available = (set.available - 1).max(0);
                set.ready = set.available;
            }
        }

        /// Available pods once all sets have the size that is wanted.
        fn lasting(&self) -> i32 {
            self.view.sets.iter().map(|set| set.available.min(set.wanted)).sum()
        }

        fn available(&self) -> i32 {
            self.view.sets.iter().map(|set| set.available).sum()
        }

        fn wanted(&self) -> i32 {
            self.view.sets.iter().map(|set| set.wanted).sum()
        }

        fn settle(&mut self) {
            for _ in 0..500 {
                let changed = self.reconcile();
                let before = self.view.sets.clone();
                self.sync_pods();
                (0..self.view.sets.len()).for_each(|at| self.become_ready(at));
                if !changed && self.view.sets == before {
                    return;
                }
            }
            panic!("the rollout does not end: {:?}", self.view.sets);
        }
    }

    #[derive(Clone, Debug)]
    enum Event {
        Reconcile,
        SyncPods,
        Ready(usize),
        Fail(usize),
        NewTemplate,
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            6 => Just(Event::Reconcile),
            4 => Just(Event::SyncPods),
            6 => (0_usize..5).prop_map(Event::Ready),
            1 => (0_usize..5).prop_map(Event::Fail),
            1 => Just(Event::NewTemplate),
        ]
    }

    proptest! {
        #[test]
        fn a_rollout_keeps_its_bounds_and_ends(
            desired in 1_i32..8,
            surge in 0_i32..4,
            unavailable in 0_i32..4,
            events in proptest::collection::vec(any_event(), 0..200),
        ) {
            let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
            let mut cluster = Cluster::new(desired, surge, unavailable);
            cluster.settle();
            prop_assert_eq!(cluster.available(), desired);
            cluster.change_template();
            for event in events {
                match event {
                    Event::Reconcile => {
                        let (before, floor) = (cluster.lasting(), desired - unavailable.min(desired));
                        cluster.reconcile();
                        prop_assert!(cluster.wanted() <= desired + surge, "too many: {:?}", cluster.view.sets);
                        // Only failures may take it below the floor, never the controller.
                        prop_assert!(cluster.lasting() >= before.min(floor), "too few: {:?}", cluster.view.sets);
                    }
                    Event::SyncPods => cluster.sync_pods(),
                    Event::Ready(which) => cluster.become_ready(which),
                    Event::Fail(which) => cluster.fail(which),
                    Event::NewTemplate => cluster.change_template(),
                }
            }
            cluster.settle();
            prop_assert_eq!(cluster.available(), desired);
            let idle = cluster.view.sets.iter().filter(|set| !set.current).count();
            prop_assert!(idle <= 2, "history is kept short: {:?}", cluster.view.sets);
            prop_assert_eq!(conditions(&cluster.view.status), "True NewReplicaSetAvailable, True MinimumReplicasAvailable");
        }
    }

    #[test]
    fn an_empty_history_of_conditions_stays_small() {
        let mut cluster = Cluster::new(3, 1, 0);
        cluster.settle();
        assert_eq!(cluster.view.status.conditions.0.len(), 2);
        assert_ne!(cluster.view.status.conditions, Conditions::default());
    }
}
