//! What may change in the status of a pod.

use std::collections::HashSet;
use std::net::IpAddr;

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_subdomain, qualified_name};
use serde_json::Value;

use super::annotations::validate_annotation_updates;
use crate::check::{At, duplicates, immutable, validate_ip};
use crate::tree::{int_of, list_of, str_of};

/// Conditions whose names have no domain.
const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];

/// A status write may not move the pod, nor bring a container that ended for good back.
pub fn validate_status_update(new: &Object, old: &Object) -> ErrorList {
    let (status, was) = (At::field(new, "status"), At::field(old, "status"));
    let annotations = |pod| At::field(pod, "metadata").child("annotations");
    let mut errors = validate_annotation_updates(&annotations(new), &annotations(old));
    for (index, condition) in status.child("conditions").items().iter().enumerate() {
        let of_type = condition.child("type").text();
        let path = status.path.child("conditions").index(index).child("Type");
        let named = if SYSTEM_CONDITIONS.contains(&of_type) { Vec::new() } else { qualified_name(of_type) };
        errors.extend(named.into_iter().map(|text| Error::invalid(&path, of_type, text)));
    }
    if new.str(&["spec", "nodeName"]) != old.str(&["spec", "nodeName"]) {
        errors.push(status.child("nodeName").forbidden("may not be changed directly"));
    }
    let nominated = status.child("nominatedNodeName");
    if !nominated.is_empty() && nominated.text() != was.child("nominatedNodeName").text() {
        errors.extend(nominated.check(dns1123_subdomain));
    }
    let generation = status.child("observedGeneration");
    let negative = generation.int().is_some_and(|generation| generation < 0);
    errors.extend(negative.then(|| generation.invalid("must be a non-negative integer")));
    if !was.child("qosClass").is_empty() {
        errors.extend(immutable(&status.child("qosClass"), &was.child("qosClass")));
    }
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        errors.extend(validate_transitions(&status, list, old));
    }
    errors.extend(validate_claims(&status.child("resourceClaimStatuses"), new));
    errors.extend(validate_addresses(&status.child("podIPs")));
    errors.extend(validate_lone_address(&status));
    errors.extend(validate_host_addresses(&status));
    errors
}

/// Ephemeral containers never start again, and sidecars always do.
fn validate_transitions(status: &At, list: &str, old: &Object) -> ErrorList {
    let policy = match list {
        "ephemeralContainerStatuses" => "Never",
        _ => old.str(&["spec", "restartPolicy"]),
    };
    let ended = |status: &Value| status.get("state").and_then(|state| state.get("terminated")).cloned();
    let restarting = restarting(old);
    let items = status.child(list).items();
    let again: HashSet<&str> =
        items.iter().filter(|now| ended(now.value).is_none()).map(|now| str_of(now.value, "name")).collect();
    let mut errors = ErrorList::new();
    for (index, was) in old.list(&["status", list]).iter().enumerate() {
        let Some(end) = ended(was).filter(|_| policy != "Always") else { continue };
        let name = str_of(was, "name");
        if (int_of(&end, "exitCode") != 0 && policy == "OnFailure") || restarting.contains(name) {
            continue;
        }
        let path = status.path.child(list).index(index).child("state");
        let text = "may not be transitioned to non-terminated state";
        errors.extend(again.contains(name).then(|| Error::forbidden(&path, text)));
    }
    errors
}

/// Containers with a restart policy or rules of their own.
fn restarting(pod: &Object) -> HashSet<&str> {
    let containers = pod.list(&["spec", "initContainers"]).iter().chain(pod.list(&["spec", "containers"]));
    let restarts = |container: &&Value| {
        !matches!(str_of(container, "restartPolicy"), "" | "Never")
            || !list_of(container, "restartPolicyRules").is_empty()
    };
    containers.filter(restarts).map(|container| str_of(container, "name")).collect()
}

fn validate_claims(statuses: &At, pod: &Object) -> ErrorList {
    let items = statuses.items();
    let claims: HashSet<&str> =
        pod.list(&["spec", "resourceClaims"]).iter().map(|claim| str_of(claim, "name")).collect();
    let unknown = |status: &&At| !claims.contains(status.child("name").text());
    let text = "must match the name of an entry in `spec.resourceClaims`";
    let mut errors: ErrorList = items.iter().filter(unknown).map(|status| status.child("name").invalid(text)).collect();
    errors.extend(duplicates(&items, "name"));
    errors
}

/// An address without a list is a list of one.
fn validate_lone_address(status: &At) -> Option<Error> {
    let (lone, list) = (status.child("podIP"), status.child("podIPs"));
    let counts = !lone.is_empty() && list.items().is_empty();
    counts.then(|| validate_ip(&lone.at(list.index_path(0)))).flatten()
}

/// At most one address of each family.
fn validate_addresses(addresses: &At) -> ErrorList {
    let items = addresses.items();
    let mut errors: ErrorList =
        items.iter().filter_map(|item| validate_ip(&item.child("ip").at(item.path.clone()))).collect();
    let parsed: Vec<IpAddr> = items.iter().filter_map(|item| item.child("ip").text().parse().ok()).collect();
    let both = parsed.iter().any(IpAddr::is_ipv4) && parsed.iter().any(IpAddr::is_ipv6);
    if items.len() > 2 || (items.len() == 2 && !both) {
        errors.push(addresses.invalid("may specify no more than one IP for each IP family"));
    }
    let mut seen = HashSet::new();
    let repeated = items.iter().filter(|item| !seen.insert(str_of(item.value, "ip")));
    errors.extend(repeated.map(At::duplicate));
    errors
}

fn validate_host_addresses(status: &At) -> ErrorList {
    let addresses = status.child("hostIPs");
    let mut errors = ErrorList::new();
    if let Some(first) = addresses.items().first().map(|first| first.child("ip")) {
        let same = first.text() == status.child("hostIP").text();
        errors.extend((!same).then(|| first.invalid("must be equal to `hostIP`")));
    }
    errors.extend(validate_addresses(&addresses));
    errors
}
