//! `--runtime-config`: which versions and resources are served. (upstream: apiserver/pkg/server/resourceconfig)

use std::collections::{BTreeMap, BTreeSet};

use crate::def::KindDef;
use crate::table;

/// Whether a version belongs to a group of them.
type Matches = fn(&str) -> bool;

/// Groups of versions, in the order in which they are looked at; what is said of one alone comes after all of them.
const MATCHERS: [(&str, Matches); 4] =
    [("api/all", |_| true), ("api/ga", is_ga), ("api/beta", is_beta), ("api/alpha", is_alpha)];

/// What is asked for.
#[derive(Debug)]
pub struct Selection {
    /// Kinds that have paths.
    pub served: Vec<&'static KindDef>,
    /// Stable ones that have none: the server itself goes on using them.
    pub unserved: Vec<&'static KindDef>,
}

/// The kinds that are served where these pairs of `key=value` are given.
///
/// # Errors
/// In upstream's words.
pub fn select(pairs: &[String]) -> Result<Selection, String> {
    let config: BTreeMap<&str, &str> = pairs.iter().map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    if config.len() == 1 && config.get("api/all") == Some(&"false") {
        return Err("invalid key with only api/all=false".to_owned());
    }
    check_groups(&config)?;
    let kinds = || table::known().iter().copied();
    let mut enabled: BTreeMap<Version, bool> = kinds().map(|kind| (version(kind), is_ga(kind.version))).collect();
    for (key, matches) in MATCHERS {
        let Some(value) = config.get(key) else { continue };
        let value = match *value {
            "true" => true,
            "false" => false,
            other => return Err(format!("invalid value {key}={other}")),
        };
        enabled.iter_mut().filter(|((_, version), _)| matches(version)).for_each(|(_, enabled)| *enabled = value);
    }
    let mut resources = BTreeMap::new();
    for (key, value) in config.iter().filter(|(key, _)| !is_matcher(key)) {
        let (version, resource) = parse(key)?;
        let known = enabled
            .get_mut(&version)
            .ok_or_else(|| format!("group version {}/{} that has not been registered", version.0, version.1))?;
        let value = boolean(key, value)?;
        match resource {
            "" => *known = value,
            resource => drop(resources.insert((version, resource), value)),
        }
    }
    let is_on = |kind: &KindDef| {
        let alone = resources.get(&(version(kind), kind.resource)).copied();
        alone.unwrap_or(enabled[&version(kind)])
    };
    let (served, off): (Vec<_>, Vec<_>) = kinds().partition(|kind| is_on(kind));
    Ok(Selection { served, unserved: off.into_iter().filter(|kind| is_ga(kind.version)).collect() })
}

/// Group and version.
type Version<'a> = (&'a str, &'a str);

fn version(kind: &KindDef) -> Version<'static> {
    (kind.group, kind.version)
}

fn is_matcher(key: &str) -> bool {
    MATCHERS.iter().any(|(matcher, _)| *matcher == key)
}

fn check_groups(config: &BTreeMap<&str, &str>) -> Result<(), String> {
    let mut unknown = BTreeSet::new();
    for key in config.keys().filter(|key| !is_matcher(key)) {
        let ((group, _), _) = parse(key)?;
        if !table::known().iter().any(|kind| kind.group == group) {
            unknown.insert(group);
        }
    }
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(format!("unknown api groups {}", unknown.into_iter().collect::<Vec<_>>().join(","))),
    }
}

/// `group/version` or `group/version/resource`.
fn parse(key: &str) -> Result<(Version<'_>, &str), String> {
    let parts: Vec<&str> = key.split('/').collect();
    match parts.as_slice() {
        [group, version] => Ok(((group, version), "")),
        [_, _, resource] if resource.to_lowercase() != **resource => Err(format!(
            "invalid key {key}: group/version/resource and resource is always lowercase plural, not {resource:?}"
        )),
        [group, version, resource] => Ok(((group, version), resource)),
        _ => Err(format!("runtime-config invalid key {key}")),
    }
}

/// As Go reads it; nothing stands for true.
fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid value of {key}: {value}, err: strconv.ParseBool: parsing {value:?}: invalid syntax")),
    }
}

/// `v1`
fn is_ga(version: &str) -> bool {
    version.strip_prefix('v').is_some_and(is_number)
}

/// `v1beta1`
fn is_beta(version: &str) -> bool {
    is_stage(version, "beta")
}

fn is_alpha(version: &str) -> bool {
    is_stage(version, "alpha")
}

fn is_stage(version: &str, stage: &str) -> bool {
    let numbers = version.strip_prefix('v').and_then(|rest| rest.split_once(stage));
    numbers.is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is served of versions that are off by default.
    fn check(pairs: &[&str], expected: &[&str]) {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        let Selection { served, unserved } = select(&pairs).unwrap();
        let beta: Vec<&KindDef> = served.iter().copied().filter(|kind| !is_ga(kind.version)).collect();
        assert_eq!(sorted(&beta), expected, "{pairs:?}");
        assert_eq!(served.len() - beta.len(), table::all().len(), "{pairs:?}");
        assert_eq!(sorted(&unserved), Vec::<String>::new());
    }

    fn sorted(kinds: &[&KindDef]) -> Vec<String> {
        let mut shown: Vec<String> =
            kinds.iter().map(|kind| format!("{}/{}", kind.group_version(), kind.resource)).collect();
        shown.sort();
        shown
    }

    #[test]
    fn stable_versions_are_switched_off() {
        let of = |pairs: &[&str]| {
            let Selection { served, unserved } =
                select(&pairs.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>()).unwrap();
            (sorted(&served), sorted(&unserved))
        };
        let everything = sorted(table::all());
        let (leases, rest): (Vec<String>, Vec<String>) =
            everything.into_iter().partition(|shown| shown.starts_with("coordination.k8s.io/"));
        assert_eq!(of(&["coordination.k8s.io/v1=false"]), (rest.clone(), leases.clone()));
        assert_eq!(of(&["coordination.k8s.io/v1/leases=false"]), (rest.clone(), leases.clone()));
        assert_eq!(of(&["api/all=false", "coordination.k8s.io/v1=true"]), (leases.clone(), rest.clone()));
        assert_eq!(of(&["api/ga=false", "coordination.k8s.io/v1"]), (leases, rest));
    }

    fn refused(pairs: &[&str]) -> String {
        select(&pairs.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>()).unwrap_err()
    }

    const BINDINGS: &str = "admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicybindings";
    const POLICIES: &str = "admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies";
    const BUNDLES: &str = "certificates.k8s.io/v1beta1/clustertrustbundles";
    const REQUESTS: &str = "certificates.k8s.io/v1beta1/podcertificaterequests";
    const CANDIDATES: &str = "coordination.k8s.io/v1beta1/leasecandidates";
    const MIGRATIONS: &str = "storagemigration.k8s.io/v1beta1/storageversionmigrations";
    const ADDRESSES: &str = "networking.k8s.io/v1beta1/ipaddresses";
    const CIDRS: &str = "networking.k8s.io/v1beta1/servicecidrs";
    const CLASSES: &str = "storage.k8s.io/v1beta1/volumeattributesclasses";

    #[test]
    fn versions_and_resources_are_asked_for() {
        check(&[], &[]);
        check(&["api/ga=true", "api/alpha=true"], &[]);
        check(&["networking.k8s.io/v1beta1=true"], &[ADDRESSES, CIDRS]);
        check(&["networking.k8s.io/v1beta1"], &[ADDRESSES, CIDRS]);
        check(&["networking.k8s.io/v1beta1=true", "networking.k8s.io/v1beta1/servicecidrs=false"], &[ADDRESSES]);
        check(&["networking.k8s.io/v1beta1/servicecidrs=true"], &[CIDRS]);
        let resource = ["resource.k8s.io/v1beta1=false", "resource.k8s.io/v1beta2=0"];
        for all in ["api/beta=true", "api/all=true"] {
            let others = [BUNDLES, REQUESTS, CANDIDATES, ADDRESSES, CIDRS, CLASSES, MIGRATIONS];
            check(&[&[all][..], &resource].concat(), &[&[POLICIES, BINDINGS][..], &others].concat());
        }
        check(&["admissionregistration.k8s.io/v1beta1=true"], &[POLICIES, BINDINGS]);
        check(&["api/all=true", "api/beta=false"], &[]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_upstreams_words() {
        let table: [(&[&str], &str); 8] = [
            (&["api/all=false"], "invalid key with only api/all=false"),
            (&["api/beta=yes"], "invalid value api/beta=yes"),
            (&["v1=true"], "runtime-config invalid key v1"),
            (&["a.example/v1=true", "b.example/v1=true"], "unknown api groups a.example,b.example"),
            (&["apps/v1beta1=true"], "group version apps/v1beta1 that has not been registered"),
            (
                &["apps/v1/Deployments=true"],
                "invalid key apps/v1/Deployments: group/version/resource and resource is always lowercase plural, not \
                 \"Deployments\"",
            ),
            (
                &["storage.k8s.io/v1beta1=no"],
                "invalid value of storage.k8s.io/v1beta1: no, err: strconv.ParseBool: parsing \"no\": invalid syntax",
            ),
            (&["v1=false"], "runtime-config invalid key v1"),
        ];
        for (pairs, expected) in table {
            assert_eq!(refused(pairs), expected);
        }
    }
}
