//! ReplicaSet.

use machinery::Object;
use machinery::field::ErrorList;

use super::Counts;
use super::deployment::{SCALE, keeps_selector, validate_counts, validate_lasting_template};
use crate::check::{At, workload_selector};
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, number};
use crate::core::pod::defaults::default_template;
use crate::core::pod::warnings::of_template;
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Strategy, Subresource};
use crate::tree::default_status_number;

pub static REPLICA_SET: KindDef = KindDef {
    group: "apps",
    kind: "ReplicaSet",
    resource: "replicasets",
    singular: "replicaset",
    short_names: &["rs"],
    categories: &["all"],
    schema: "io.k8s.api.apps.v1.ReplicaSet",
    subresources: &[Subresource::Scale(SCALE), Subresource::Status],
    columns: &[
        NAME,
        Column::integer("Desired", Field("spec.replicas"), |object| number(object, &["spec", "replicas"])),
        Column::integer("Current", Field("status.replicas"), |object| number(object, &["status", "replicas"])),
        Column::integer("Ready", Field("status.readyReplicas"), |object| number(object, &["status", "readyReplicas"])),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    strategy: Strategy {
        default: default_replica_set,
        validate,
        validate_update: keeps_selector,
        validate_status_update: |new, old| STATUS.validate(new, old),
        warnings: of_template,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn default_replica_set(object: &mut Object) {
    default_template(object.map_mut(&["spec"]), "template");
    object.set_default(&["spec", "replicas"], 1);
    default_status_number(object, &["replicas"]);
}

/// Also of ReplicationControllers.
pub const STATUS: Counts = Counts {
    fields: &[
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "terminatingReplicas",
        "observedGeneration",
    ],
    bounds: &[
        ("fullyLabeledReplicas", "replicas", "status.replicas"),
        ("readyReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "readyReplicas", "readyReplicas"),
    ],
};

fn validate(object: &Object) -> ErrorList {
    let spec = At::field(object, "spec");
    let mut errors = validate_counts(&spec, &["replicas", "minReadySeconds"]);
    errors.extend(workload_selector(&spec.child("selector"), &spec.child("template"), "deployment"));
    errors.extend(validate_lasting_template(&spec, "ReplicaSet"));
    errors
}
