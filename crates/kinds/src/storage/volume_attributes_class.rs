//! VolumeAttributesClass.

use machinery::Object;
use machinery::field::ErrorList;

use super::storage_class::{unchanged, validate_driver, validate_parameters};
use crate::check::At;
use crate::columns::{AGE, NAME};
use crate::def::Description::Field;
use crate::def::{Column, Deprecation, KindDef, Scope, Strategy};

pub static VOLUME_ATTRIBUTES_CLASS: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "VolumeAttributesClass",
    resource: "volumeattributesclasses",
    singular: "volumeattributesclass",
    short_names: &["vac"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.VolumeAttributesClass",
    columns: &[NAME, Column::string("DriverName", Field("driverName"), |class| class.str(&["driverName"]).into()), AGE],
    strategy: Strategy {
        validate,
        validate_update: |new, old| unchanged(new, old, &["driverName", "parameters"]),
        returns_deleted: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

pub static VOLUME_ATTRIBUTES_CLASS_V1BETA1: KindDef = KindDef {
    deprecation: Some(Deprecation {
        since: "1.34",
        removed: "1.37",
        replacement: "storage.k8s.io/v1 VolumeAttributesClass",
    }),
    ..VOLUME_ATTRIBUTES_CLASS.again_as("v1beta1", "io.k8s.api.storage.v1beta1.VolumeAttributesClass")
};

fn validate(class: &Object) -> ErrorList {
    let parameters = At::field(class, "parameters");
    let mut errors = validate_driver(&At::field(class, "driverName"));
    errors.extend(validate_parameters(&parameters));
    let text = "must contain at least one key/value pair";
    errors.extend(parameters.is_empty().then(|| parameters.required(text)));
    errors
}
