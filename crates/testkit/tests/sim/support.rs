//! Questions about a history.

use std::collections::BTreeSet;

use testkit::sim::{Entry, What};

/// Resource and name in a key: `/registry/RESOURCE/NAMESPACE/NAME`, or `/registry/RESOURCE/NAME`.
fn resource_and_name(entry: &Entry) -> Option<(&str, &str)> {
    let mut parts = entry.key.rsplit('/');
    match (parts.next()?, parts.next()?, parts.next()?) {
        (name, resource, "registry") => Some((resource, name)),
        (name, _namespace, resource) => Some((resource, name)),
    }
}

fn of_resource<'a>(history: &'a [Entry], what: What, wanted: &str) -> impl Iterator<Item = (&'a Entry, &'a str)> {
    let entries = history.iter().filter(move |entry| entry.what == what);
    entries
        .filter_map(move |entry| resource_and_name(entry).filter(|(r, _)| *r == wanted).map(|(_, name)| (entry, name)))
}

/// The objects that were written so, in order.
pub fn names<'a>(history: &'a [Entry], what: What, resource: &str) -> Vec<&'a str> {
    of_resource(history, what, resource).map(|(_, name)| name).collect()
}

/// Seconds from each creation to the next.
pub fn pauses(history: &[Entry], resource: &str) -> Vec<u64> {
    let times: Vec<u64> = of_resource(history, What::Create, resource).map(|(entry, _)| entry.at.as_secs()).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The resources of which something was deleted, in order, each run of one once.
pub fn deleted(history: &[Entry]) -> Vec<&str> {
    let deletions = history.iter().filter(|entry| entry.what == What::Delete);
    let mut resources: Vec<&str> = deletions.filter_map(|entry| Some(resource_and_name(entry)?.0)).collect();
    resources.dedup();
    resources
}

/// The keys with `part` in them that are still there.
pub fn keys(history: &[Entry], part: &str) -> Vec<String> {
    let mut present = BTreeSet::new();
    for entry in history.iter().filter(|entry| entry.key.contains(part)) {
        match entry.what {
            What::Delete => present.remove(&entry.key),
            What::Create | What::Update => present.insert(entry.key.clone()),
        };
    }
    present.into_iter().collect()
}
