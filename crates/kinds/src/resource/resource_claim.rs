//! ResourceClaim and ResourceClaimTemplate.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{validate_annotations, validate_labels};
use serde_json::Value;

use super::claim_validate::validate_spec;
use super::status_validate::validate_status_update;
use crate::check::{At, immutable};
use crate::columns::{AGE, NAME};
use crate::def::Description::Text;
use crate::def::{Column, KindDef, Strategy, Subresource};
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
