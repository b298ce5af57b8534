//! PersistentVolume.

use crate::def::{KindDef, Scope, Strategy, Subresource};

pub static PERSISTENT_VOLUME: KindDef = KindDef {
    kind: "PersistentVolume",
    resource: "persistentvolumes",
    singular: "persistentvolume",
    short_names: &["pv"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.core.v1.PersistentVolume",
    subresources: &[Subresource::Status],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
