//! The cluster addresses of a Service and their families.

use std::collections::HashSet;
use std::net::IpAddr;

use machinery::field::{Error, ErrorList};

use super::validate::{HEADLESS, is_headless};
use crate::check::{At, validate_ip};

const FAMILIES: &[&str] = &["IPv4", "IPv6"];
const FAMILY_POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];

pub fn validate_cluster_ips(spec: &At) -> ErrorList {
    if spec.child("type").text() == "ExternalName" {
        return ErrorList::new();
    }
    let (ip, ips) = (spec.child("clusterIP"), spec.child("clusterIPs"));
    let items = ips.items();
    let mut errors = ErrorList::new();
    match (ip.is_empty(), items.first()) {
        (false, None) => errors.push(ips.required("")),
        (false, Some(first)) if first.text() != ip.text() => {
            errors.push(ips.invalid("first value must match `clusterIP`"));
        }
        (true, Some(_)) => errors.push(ips.invalid("must be empty when `clusterIP` is not specified")),
        _ => {}
    }
    errors.extend(validate_families(spec));
    let before = errors.len();
    if items.len() > 1 && items[0].text() == HEADLESS {
        errors.push(ips.invalid("'None' must be the first and only value"));
    }
    let addresses = items.iter().enumerate().filter(|(index, at)| *index > 0 || at.text() != HEADLESS);
    errors.extend(addresses.filter_map(|(_, at)| validate_ip(at)));
    if errors.len() > before {
        return errors;
    }
    if items.len() > 2 {
        errors.push(ips.invalid("may only hold up to 2 values"));
    }
    let is_v6: Vec<bool> =
        items.iter().filter_map(|at| at.text().parse().ok()).map(|ip: IpAddr| ip.is_ipv6()).collect();
    if items.len() > 1 && (is_v6.iter().all(|v6| *v6) || is_v6.iter().all(|v6| !v6)) {
        errors.push(ips.invalid("may specify no more than one IP for each IP family"));
    }
    errors.extend(validate_match(spec, &items));
    errors
}

fn validate_families(spec: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for family in spec.child("ipFamilies").items() {
        errors.extend((!FAMILIES.contains(&family.text())).then(|| family.not_supported(FAMILIES)));
        errors.extend((!seen.insert(family.text())).then(|| family.duplicate()));
    }
    let policy = spec.child("ipFamilyPolicy");
    let unknown = policy.is_set() && !FAMILY_POLICIES.contains(&policy.text());
    errors.extend(unknown.then(|| policy.not_supported(FAMILY_POLICIES)));
    errors
}

/// Each address is of the family that stands at its place.
fn validate_match(spec: &At, ips: &[At]) -> ErrorList {
    if is_headless(spec) {
        return ErrorList::new();
    }
    let mut errors = ErrorList::new();
    for (index, (ip, family)) in ips.iter().zip(spec.child("ipFamilies").items()).enumerate() {
        let expected = if family.text() == "IPv6" { "IPv6" } else { "IPv4" };
        if ip.text().contains(':') != (expected == "IPv6") {
            errors.push(ip.invalid(format!("expected an {expected} value as indicated by `ipFamilies[{index}]`")));
        }
    }
    errors
}

/// A second address may come and go; the first stays.
pub fn validate_update(spec: &At, was: &At) -> ErrorList {
    let external = |spec: &At| spec.child("type").text() == "ExternalName";
    if external(spec) || external(was) {
        return ErrorList::new();
    }
    let mut errors = ErrorList::new();
    if !(is_headless(spec) && is_headless(was)) {
        errors.extend(validate_kept(spec, was, "clusterIPs", "clusterIP"));
    }
    if !is_headless(spec) && !is_headless(was) {
        errors.extend(validate_kept(spec, was, "ipFamilies", "ipFamily"));
    }
    errors
}

fn validate_kept(spec: &At, was: &At, list: &str, one: &str) -> ErrorList {
    let at = spec.child(list);
    let (now, before) = (at.items(), was.child(list).items());
    let invalid = |index: usize, text: String| Error::invalid(&at.index_path(index), at.value.clone(), text);
    let differs = |(_, (now, before)): &(usize, (&At, &At))| now.text() != before.text();
    let mut errors = ErrorList::new();
    if now.is_empty() && !before.is_empty() {
        errors.push(invalid(0, format!("primary {one} can not be unset")));
    }
    let kept = if now.len() == before.len() { now.len() } else { 1 };
    let pairs = now.iter().zip(&before).take(kept).enumerate().filter(differs);
    let changed = pairs
        .map(|(index, _)| invalid(if list == "ipFamilies" { 0 } else { index }, "may not change once set".to_owned()));
    errors.extend(changed);
    let policy = spec.child("ipFamilyPolicy");
    if now.len() == 1 && before.len() > 1 && policy.text() != "SingleStack" {
        errors.push(policy.invalid(format!("must be set to 'SingleStack' when releasing the secondary {one}")));
    }
    errors
}
