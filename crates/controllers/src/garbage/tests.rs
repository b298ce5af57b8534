use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use super::decide::*;
use super::graph::{FOREGROUND, Graph, Identity, ORPHAN, Work};

/// `"pod<set!"`: object `pod`, owned by `set`, whose deletion it blocks.
fn put(graph: &mut Graph, text: &str, finalizer: &str) -> String {
    let (name, owner) = text.split_once('<').unwrap_or((text, ""));
    let owner_name = owner.trim_end_matches('!');
    let owners = (!owner.is_empty()).then(|| {
        vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Thing".to_owned(),
            name: owner_name.to_owned(),
            uid: owner_name.to_owned(),
            block_owner_deletion: Some(owner.ends_with('!')),
            controller: None,
        }]
    });
    let meta = ObjectMeta {
        owner_references: owners,
        deletion_timestamp: (!finalizer.is_empty()).then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
        finalizers: Some(vec![finalizer.to_owned()]),
        ..ObjectMeta::default()
    };
    say(&graph.observe(id(name), &meta))
}

fn id(name: &str) -> Identity {
    Identity {
        group: String::new(),
        kind: "Thing".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        uid: name.into(),
    }
}

fn say(work: &[Work]) -> String {
    let words = work.iter().map(|work| match work {
        Work::Collect(uid) => format!("collect {uid}"),
        Work::Orphan(uid) => format!("orphan {uid}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[test]
fn an_owner_that_nobody_saw_is_asked_for() {
    let mut graph = Graph::default();
    assert_eq!(put(&mut graph, "pod<set", ""), "collect set");
    assert_eq!(put(&mut graph, "other<set", ""), "");
    assert_eq!(put(&mut graph, "set", ""), "", "it appears after all");
    assert_eq!(say(&graph.gone("set")), "collect other, collect pod");
}

#[test]
fn foreground_deletion_goes_from_the_leaves_up() {
    let mut graph = Graph::default();
    put(&mut graph, "set", "");
    put(&mut graph, "pod<set!", "");
    assert_eq!(put(&mut graph, "set", FOREGROUND), "collect pod, collect set");
    assert_eq!(put(&mut graph, "set", FOREGROUND), "", "only the change counts");
    assert_eq!(say(&graph.gone("pod")), "collect set");
}

#[test]
fn a_dependent_that_stops_blocking_wakes_its_owner() {
    let mut graph = Graph::default();
    put(&mut graph, "set", FOREGROUND);
    put(&mut graph, "pod<set!", "");
    assert_eq!(put(&mut graph, "pod<set", ""), "collect set");
    assert_eq!(put(&mut graph, "pod", ""), "");
    assert!(graph.dependents("set").is_empty());
}

#[test]
fn orphaning_is_asked_for_once() {
    let mut graph = Graph::default();
    put(&mut graph, "set", "");
    assert_eq!(put(&mut graph, "set", ORPHAN), "orphan set");
    assert_eq!(put(&mut graph, "set", ORPHAN), "");
}

fn owned(states: &[OwnerState]) -> View {
    let owners = states.iter().enumerate().map(|(at, state)| (format!("o{at}").into(), *state));
    View { owners: owners.collect(), ..View::default() }
}

fn dependent(blocks: bool, foreground: bool) -> Dependent {
    Dependent { uid: "d".into(), blocks, foreground }
}

#[test]
fn an_object_lives_as_long_as_one_owner_does() {
    use OwnerState::{Dangling, Solid, Waiting};
    assert_eq!(decide(&owned(&[])), Action::Nothing);
    assert_eq!(decide(&owned(&[Solid])), Action::Nothing);
    assert_eq!(decide(&owned(&[Solid, Dangling, Waiting])), Action::Unlink(vec!["o1".into(), "o2".into()]));
    assert_eq!(decide(&owned(&[Dangling])), Action::Delete { policy: Policy::Background, unblock: false });
    assert_eq!(decide(&owned(&[Waiting])), Action::Delete { policy: Policy::Background, unblock: false });
    let orphaning = View { orphan_finalizer: true, ..owned(&[Dangling]) };
    assert_eq!(decide(&orphaning), Action::Delete { policy: Policy::Orphan, unblock: false });
    let going = View { deleting: true, ..owned(&[Dangling]) };
    assert_eq!(decide(&going), Action::Nothing);
}

#[test]
fn a_waiting_owner_is_deleted_through_its_dependents_dependents() {
    let mut view = owned(&[OwnerState::Waiting]);
    view.dependents = vec![dependent(true, false)];
    assert_eq!(decide(&view), Action::Delete { policy: Policy::Foreground, unblock: false });
    view.dependents = vec![dependent(true, true)];
    assert_eq!(decide(&view), Action::Delete { policy: Policy::Foreground, unblock: true }, "a circle");
}

#[test]
fn a_foreground_deletion_ends_when_nothing_blocks_it() {
    let mut view = View { deleting: true, foreground: true, ..View::default() };
    assert_eq!(decide(&view), Action::Release);
    view.dependents = vec![dependent(false, false)];
    assert_eq!(decide(&view), Action::Release);
    view.dependents = vec![dependent(true, false)];
    assert_eq!(decide(&view), Action::Collect(vec!["d".into()]));
    view.dependents = vec![dependent(true, true)];
    assert_eq!(decide(&view), Action::Collect(vec![]), "it is on its way");
}
