//! VolumeAttributesClass.

use machinery::Object;
use serde_json::Value;

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Scope, Strategy};

const DEFAULT_ANNOTATION: &str = "volumeattributesclass.alpha.kubernetes.io/is-default-class";

pub static VOLUME_ATTRIBUTES_CLASS: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "VolumeAttributesClass",
    resource: "volumeattributesclasses",
    singular: "volumeattributesclass",
    short_names: &["vac"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.VolumeAttributesClass",
    columns: &[
        Column { cell: name, ..NAME },
        Column::string("DriverName", "Driver that understands it", |class| class.str(&["driverName"]).into()),
        AGE,
    ],
    strategy: Strategy { returns_deleted: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn name(class: &Object) -> Value {
    match class.annotation(DEFAULT_ANNOTATION) {
        Some("true") => format!("{} (default)", class.name()).into(),
        _ => class.name().into(),
    }
}
