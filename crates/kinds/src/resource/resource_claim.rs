//! ResourceClaim and ResourceClaimTemplate.

use std::collections::HashSet;

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{validate_annotations, validate_labels};
use serde_json::Value;

use super::claim_validate::validate_spec;
use super::gates;
use super::gates::drop_disabled;
use super::status_validate::{device_id, validate_status_update};
use crate::check::{At, immutable};
use crate::columns::{AGE, NAME};
use crate::def::Description::Text;
use crate::def::{Column, KindDef, Strategy, Subresource, drop_status, keep_all_but_status, keep_status};
use crate::tree::{Map, child, child_or_new, default, default_text, each, text};

pub static RESOURCE_CLAIM: KindDef = KindDef {
    group: "resource.k8s.io",
    kind: "ResourceClaim",
    resource: "resourceclaims",
    singular: "resourceclaim",
    schema: "io.k8s.api.resource.v1.ResourceClaim",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("State", Text("A summary of the current state (allocated, pending, reserved, etc.)."), state),
        AGE,
    ],
    strategy: Strategy {
        default: |claim| default_claim_spec(claim.map_mut(&["spec"])),
        prepare_create: |claim| {
            drop_status(claim);
            drop_disabled(gates::CLAIM, claim, None);
        },
        prepare_update: |new, old| {
            keep_status(new, old);
            drop_disabled(gates::CLAIM, new, Some(old));
        },
        prepare_status_update: |new, old| {
            keep_all_but_status(new, old);
            drop_disabled(gates::CLAIM, new, Some(old));
            drop_deallocated(new, old);
        },
        validate: |claim| validate_spec(&At::field(claim, "spec")),
        validate_update,
        validate_status_update,
        generation: false,
        returns_deleted: true,
        kept_by_status: &[&["metadata"]],
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

pub static RESOURCE_CLAIM_TEMPLATE: KindDef = KindDef {
    group: "resource.k8s.io",
    kind: "ResourceClaimTemplate",
    resource: "resourceclaimtemplates",
    singular: "resourceclaimtemplate",
    schema: "io.k8s.api.resource.v1.ResourceClaimTemplate",
    columns: &[NAME, AGE],
    strategy: Strategy {
        default: |template| default_claim_spec(child_or_new(template.map_mut(&["spec"]), "spec")),
        prepare_create: |template| drop_disabled(gates::TEMPLATE, template, None),
        prepare_update: |new, old| drop_disabled(gates::TEMPLATE, new, Some(old)),
        validate: validate_template,
        validate_update,
        returns_deleted: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

fn validate_template(template: &Object) -> ErrorList {
    let spec = At::field(template, "spec");
    let metadata = spec.child("metadata");
    let (labels, annotations) = (metadata.child("labels"), metadata.child("annotations"));
    let mut errors = validate_labels(&labels.strings(), &labels.path);
    errors.extend(validate_annotations(&annotations.strings(), &annotations.path));
    errors.extend(validate_spec(&spec.child("spec")));
    errors
}

/// What is asked for does not change.
fn validate_update(new: &Object, old: &Object) -> ErrorList {
    immutable(&At::field(new, "spec"), &At::field(old, "spec")).into_iter().collect()
}

/// What is said of a device goes when the device is given back.
fn drop_deallocated(new: &mut Object, old: &Object) {
    let results = |claim| At::field(claim, "status").child("allocation").child("devices").child("results").items();
    let kept: HashSet<String> = results(new).iter().map(device_id).collect();
    let gone: HashSet<String> = results(old).iter().map(device_id).filter(|id| !kept.contains(id)).collect();
    let of_gone: Vec<bool> =
        At::field(new, "status").child("devices").items().iter().map(|at| gone.contains(&device_id(at))).collect();
    if of_gone.contains(&true) {
        let mut of_gone = of_gone.into_iter();
        let mut devices = new.list(&["status", "devices"]).to_vec();
        devices.retain(|_| !of_gone.next().unwrap_or_default());
        match devices.is_empty() {
            true => drop(new.remove(&["status", "devices"])),
            false => new.set(&["status", "devices"], devices),
        }
    }
}

fn default_claim_spec(spec: &mut Map) {
    let Some(devices) = child(spec, "devices") else { return };
    each(devices, "requests", |request| {
        child(request, "exactly").into_iter().for_each(default_count);
        each(request, "firstAvailable", default_count);
    });
}

fn default_count(request: &mut Map) {
    default_text(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount" {
        default(request, "count", 1);
    }
}

fn state(claim: &Object) -> Value {
    let mut states = Vec::new();
    if claim.is_deleting() {
        states.push("deleted");
    }
    match claim.get(&["status", "allocation"]) {
        Some(_) if claim.list(&["status", "reservedFor"]).is_empty() => states.push("allocated"),
        Some(_) => states.extend(["allocated", "reserved"]),
        None if states.is_empty() => states.push("pending"),
        None => {}
    }
    states.join(",").into()
}
