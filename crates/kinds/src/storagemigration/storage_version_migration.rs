//! StorageVersionMigration: that all objects of a resource are to be written again.
//!
//! upstream: pkg/apis/storagemigration/validation

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1035_label, dns1123_subdomain};

use crate::check::{At, IMMUTABLE, immutable, validate_conditions};
use crate::columns::{AGE, NAME};
use crate::def::{KindDef, Scope, Strategy, Subresource};
use crate::tree::condition_is_true;

pub static STORAGE_VERSION_MIGRATION: KindDef = KindDef {
    group: "storagemigration.k8s.io",
    version: "v1beta1",
    kind: "StorageVersionMigration",
    resource: "storageversionmigrations",
    singular: "storageversionmigration",
    scope: Scope::Cluster,
    schema: "io.k8s.api.storagemigration.v1beta1.StorageVersionMigration",
    subresources: &[Subresource::Status],
    columns: &[NAME, AGE],
    strategy: Strategy {
        validate,
        validate_update: |new, old| immutable(&At::field(new, "spec"), &At::field(old, "spec")).into_iter().collect(),
        validate_status_update,
        generation: false,
        unconditional_update: false,
        kept_by_status: &[&["metadata"]],
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn validate(migration: &Object) -> ErrorList {
    let of = At::field(migration, "spec").child("resource");
    let (group, resource) = (of.child("group"), of.child("resource"));
    let mut errors = ErrorList::new();
    if resource.is_empty() {
        errors.push(resource.required("resource is required to be set"));
    } else {
        errors.extend(together(&resource, dns1035_label));
    }
    if !group.is_empty() {
        errors.extend(together(&group, dns1123_subdomain));
    }
    errors
}

/// All that is wrong with a text, as one error.
fn together(at: &At, check: fn(&str) -> Vec<String>) -> Option<Error> {
    let faults = check(at.text());
    (!faults.is_empty()).then(|| at.invalid(faults.join(",")))
}

fn validate_status_update(new: &Object, old: &Object) -> ErrorList {
    let status = At::field(new, "status");
    let (version, conditions) = (status.child("resourceVersion"), status.child("conditions"));
    let mut errors = ErrorList::new();
    // It is empty until it is known.
    if !version.is_empty() && !is_live_version(version.text()) {
        let text = format!("resource version is not well formed: {}", version.text());
        errors.push(Error::invalid(&version.path, version.text(), text));
    }
    errors.extend(validate_conditions(&conditions));
    let was = old.str(&["status", "resourceVersion"]);
    if !was.is_empty() && was != version.text() {
        errors.push(Error::invalid(&version.path, version.text(), IMMUTABLE));
    }
    let is = |of_type: &str| condition_is_true(new, of_type);
    let ended = |of_type: &str| condition_is_true(old, of_type) && !is(of_type);
    let faults = [
        (is("Succeeded") && is("Failed"), "Both success and failed conditions cannot be true at the same time"),
        (is("Succeeded") && is("Running"), "Running condition cannot be true when success condition is true"),
        (is("Failed") && is("Running"), "Running condition cannot be true when failed condition is true"),
        (ended("Succeeded"), "Success condition cannot be set to false once it is true"),
        (ended("Failed"), "Failed condition cannot be set to false once it is true"),
    ];
    errors.extend(faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, text)| conditions.invalid(text)));
    errors
}

/// Whether an object can have the version: a number that is not zero and has no zeros in front.
fn is_live_version(text: &str) -> bool {
    !text.starts_with('0') && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
