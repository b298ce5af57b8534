//! All built-in kinds, and how they are found.

use std::collections::HashMap;
use std::sync::LazyLock;

use machinery::GroupVersionKind;

use crate::def::KindDef;

/// The groups in the order discovery lists them.
const GROUPS: [&[&KindDef]; 21] = [
    crate::core::KINDS,
    crate::apiregistration::KINDS,
    crate::apps::KINDS,
    crate::events::KINDS,
    crate::authentication::KINDS,
    crate::authorization::KINDS,
    crate::autoscaling::KINDS,
    crate::batch::KINDS,
    crate::certificates::KINDS,
    crate::networking::KINDS,
    crate::policy::KINDS,
    crate::rbac::KINDS,
    crate::storage::KINDS,
    crate::admissionregistration::KINDS,
    crate::apiextensions::KINDS,
    crate::scheduling::KINDS,
    crate::coordination::KINDS,
    crate::runtime::KINDS,
    crate::discovery::KINDS,
    crate::flowcontrol::KINDS,
    crate::resource::KINDS,
];

/// What is served besides, where it is asked for. (upstream: versions that are off by default)
const BETA: [&[&KindDef]; 7] = [
    crate::certificates::BETA,
    crate::networking::BETA,
    crate::storage::BETA,
    crate::admissionregistration::BETA,
    crate::coordination::BETA,
    crate::resource::BETA,
    crate::storagemigration::BETA,
];

static ALL: LazyLock<Vec<&'static KindDef>> = LazyLock::new(|| GROUPS.concat());

static KNOWN: LazyLock<Vec<&'static KindDef>> = LazyLock::new(|| [all(), &BETA.concat()].concat());

static BY_RESOURCE: LazyLock<HashMap<[&'static str; 3], &'static KindDef>> =
    LazyLock::new(|| known().iter().map(|kind| ([kind.group, kind.version, kind.resource], *kind)).collect());

static BY_KIND: LazyLock<HashMap<[&'static str; 3], &'static KindDef>> =
    LazyLock::new(|| known().iter().map(|kind| ([kind.group, kind.version, kind.kind], *kind)).collect());

/// Every built-in kind that is served unless something else is asked for, virtual ones too, group by group in
/// discovery's order. Of a kind with several versions the preferred one comes first.
pub fn all() -> &'static [&'static KindDef] {
    &ALL
}

/// Every built-in kind, after those of [`all`] the ones that are served only where they are asked for.
pub fn known() -> &'static [&'static KindDef] {
    &KNOWN
}

/// The kind whose paths name `resource`, served or not.
pub fn find(group: &str, version: &str, resource: &str) -> Option<&'static KindDef> {
    BY_RESOURCE.get(&[group, version, resource]).copied()
}

pub fn by_gvk(gvk: &GroupVersionKind) -> Option<&'static KindDef> {
    BY_KIND.get(&[gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()]).copied()
}

/// Why an object of the `given` kind is none of the `expected` one, in upstream's words.
pub fn no_conversion(given: &GroupVersionKind, expected: &KindDef) -> String {
    let item = given.kind.strip_suffix("List").unwrap_or(&given.kind);
    let known = |kind: &str| BY_KIND.contains_key(&[given.group.as_str(), given.version.as_str(), kind]);
    if !known(&given.kind) && !known(item) {
        return format!(
            "no kind {:?} is registered for version {:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            given.kind,
            given.group_version().to_string()
        );
    }
    let package = match expected.group.split('.').next() {
        None | Some("" | "events") => "core",
        Some(package) => package,
    };
    format!("converting ({}.{}) to ({package}.{}): unknown conversion", given.version, given.kind, expected.kind)
}
