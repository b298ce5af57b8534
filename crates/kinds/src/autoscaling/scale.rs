//! Scale: what workloads show of themselves to those that only change how many pods they have.

use crate::columns::{AGE, NAME, number};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Verb};

/// Known by subresources alone: no path leads to it.
pub static SCALE: KindDef = KindDef {
    group: "autoscaling",
    kind: "Scale",
    resource: "scales",
    singular: "scale",
    schema: "io.k8s.api.autoscaling.v1.Scale",
    verbs: &[Verb::Get, Verb::Patch, Verb::Update],
    columns: &[
        NAME.format(""),
        Column::integer("Desired", Field("spec.replicas"), |scale| number(scale, &["spec", "replicas"])),
        Column::integer("Available", Field("status.replicas"), |scale| number(scale, &["status", "replicas"])),
        AGE,
    ],
    virtual_kind: true,
    ..KindDef::PLAIN
};
