//! ReplicationController.

use machinery::Object;
use machinery::field::ErrorList;

use super::pod::defaults::default_template;
use super::pod::warnings::of_template;
use crate::apps::{REPLICA_STATUS, validate_counts, validate_lasting_template};
use crate::check::{At, required};
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, number};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Propagation, ScalePaths, SelectableField, Strategy, Subresource};
use crate::tree::default_status_number;

pub static REPLICATION_CONTROLLER: KindDef = KindDef {
    kind: "ReplicationController",
    resource: "replicationcontrollers",
    singular: "replicationcontroller",
    short_names: &["rc"],
    categories: &["all"],
    schema: "io.k8s.api.core.v1.ReplicationController",
    subresources: &[
        Subresource::Scale(ScalePaths {
            spec_replicas: &["spec", "replicas"],
            status_replicas: &["status", "replicas"],
            selector: &["spec", "selector"],
        }),
        Subresource::Status,
    ],
    selectable_fields: &[SelectableField {
        name: "status.replicas",
        value: |object| object.int(&["status", "replicas"]).unwrap_or(0).to_string(),
    }],
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
        default,
        validate,
        validate_status_update: |new, old| REPLICA_STATUS.validate(new, old),
        default_propagation: Propagation::Orphan,
        warnings: of_template,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

/// Labels and selector default to the labels of the template.
fn default(object: &mut Object) {
    default_template(object.map_mut(&["spec"]), "template");
    object.set_default(&["spec", "replicas"], 1);
    default_status_number(object, &["replicas"]);
    let Some(labels) = object.map(&["spec", "template", "metadata", "labels"]).cloned() else { return };
    for path in [&["spec", "selector"][..], &["metadata", "labels"]] {
        if object.map(path).is_none_or(serde_json::Map::is_empty) {
            object.set(path, labels.clone());
        }
    }
}

fn validate(object: &Object) -> ErrorList {
    let spec = At::field(object, "spec");
    let (selector, template) = (spec.child("selector"), spec.child("template"));
    let mut errors = validate_counts(&spec, &["minReadySeconds"]);
    errors.extend(required(&selector));
    errors.extend(validate_counts(&spec, &["replicas"]));
    let labels = template.child("metadata").child("labels");
    if selector.entries().iter().any(|(key, value)| labels.child(key).value != value.value) {
        errors.push(labels.invalid("`selector` does not match template `labels`"));
    }
    if !template.is_set() {
        errors.push(template.required(""));
        return errors;
    }
    errors.extend(validate_lasting_template(&spec, "ReplicationController"));
    errors
}
