use std::time::Duration;

use super::decide::{Prefix, Step, View, decide};

fn prefixes(texts: &str) -> Vec<Prefix> {
    texts.split_whitespace().map(|text| Prefix::parse(text).unwrap()).collect()
}

fn deleted(own: &str, others: &str, addresses: &str) -> View {
    View {
        prefixes: prefixes(own),
        terminating: Some(Duration::from_secs(60)),
        finalizer: true,
        ready: Some(true),
        others: prefixes(others),
        addresses: addresses.split_whitespace().map(|text| text.parse().unwrap()).collect(),
    }
}

#[test]
fn a_range_is_protected_first_and_then_ready() {
    let new = View { prefixes: prefixes("10.0.0.0/24"), ..View::default() };
    assert_eq!(decide(&new), Step::AddFinalizer);
    let protected = View { finalizer: true, ..new };
    assert_eq!(decide(&protected), Step::MarkReady);
    assert_eq!(decide(&View { ready: Some(true), ..protected }), Step::Nothing);
}

#[test]
fn a_range_stays_while_an_address_has_no_other() {
    let table = [
        ("10.0.0.0/24", "", "", Step::RemoveFinalizer),
        ("10.0.0.0/24", "", "10.0.0.7", Step::MarkBlocked),
        ("10.0.0.0/24", "", "10.0.1.7", Step::RemoveFinalizer),
        ("10.0.0.0/24", "10.0.0.0/16", "10.0.0.7", Step::RemoveFinalizer),
        ("10.0.0.0/24", "10.0.0.0/24", "10.0.0.7", Step::RemoveFinalizer),
        ("10.0.0.0/24", "10.0.0.0/28", "10.0.0.7", Step::RemoveFinalizer),
        ("10.0.0.0/24", "10.0.0.0/28", "10.0.0.77", Step::MarkBlocked),
        ("fd00::/112", "10.0.0.0/8", "fd00::5", Step::MarkBlocked),
        ("10.0.0.0/24 fd00::/112", "10.0.0.0/8", "10.0.0.5", Step::RemoveFinalizer),
    ];
    for (own, others, addresses, expected) in table {
        assert_eq!(decide(&deleted(own, others, addresses)), expected, "{own} {others} {addresses}");
    }
}

#[test]
fn allocators_get_time_to_hear_of_a_deletion() {
    let just = View { terminating: Some(Duration::from_secs(4)), ..deleted("10.0.0.0/24", "", "") };
    assert_eq!(decide(&just), Step::Wait(Duration::from_secs(6)));
    let told = View { ready: Some(false), ..deleted("10.0.0.0/24", "", "10.0.0.7") };
    assert_eq!(decide(&told), Step::Nothing);
}

#[test]
fn what_is_no_network_is_none() {
    for text in ["10.0.0.0", "10.0.0.0/33", "fd00::/129", "x/8"] {
        assert_eq!(Prefix::parse(text), None, "{text}");
    }
}
