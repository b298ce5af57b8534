//! VolumeAttributesClass.

use crate::def::{KindDef, Scope};

pub static VOLUME_ATTRIBUTES_CLASS: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "VolumeAttributesClass",
    resource: "volumeattributesclasses",
    singular: "volumeattributesclass",
    short_names: &["vac"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.VolumeAttributesClass",
    ..KindDef::PLAIN
};
