//! StorageClass.

use crate::def::{KindDef, Scope};

pub static STORAGE_CLASS: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "StorageClass",
    resource: "storageclasses",
    singular: "storageclass",
    short_names: &["sc"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.StorageClass",
    ..KindDef::PLAIN
};
