use std::collections::BTreeMap;

use super::decide::{Outcome, conditions};

fn say(outcome: &Outcome) -> Vec<String> {
    let told = conditions(outcome).into_iter().filter(|condition| condition.status);
    told.map(|condition| format!("{} {}: {}", condition.type_, condition.reason, condition.message)).collect()
}

#[test]
fn an_empty_namespace_has_nothing_to_tell() {
    assert!(say(&Outcome::default()).is_empty());
    assert!(Outcome::default().is_empty());
}

#[test]
fn what_remains_is_counted_as_upstream_words_it() {
    let outcome = Outcome {
        remaining: BTreeMap::from([("deployments.apps".to_owned(), 1), ("pods".to_owned(), 2)]),
        finalizers: BTreeMap::from([("example.com/hold".to_owned(), 2)]),
        ..Outcome::default()
    };
    let expected = [
        "NamespaceContentRemaining SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 resource \
         instances, pods has 2 resource instances",
        "NamespaceFinalizersRemaining SomeFinalizersRemain: Some content in the namespace has finalizers remaining: \
         example.com/hold in 2 resource instances",
    ];
    assert_eq!(say(&outcome), expected);
    assert!(!outcome.is_empty());
}

#[test]
fn a_group_that_cannot_be_discovered_holds_the_namespace() {
    let failure = ("metrics.k8s.io/v1beta1".to_owned(), "unavailable".to_owned());
    let outcome = Outcome { discovery_failures: vec![failure], ..Outcome::default() };
    assert!(!outcome.is_empty());
    let expected = "NamespaceDeletionDiscoveryFailure DiscoveryFailed: Discovery failed for some groups, 1 failing: \
                    metrics.k8s.io/v1beta1: unavailable";
    assert_eq!(say(&outcome), [expected]);
}
