//! CSINode.

use crate::def::{KindDef, Scope, Strategy};

pub static CSI_NODE: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "CSINode",
    resource: "csinodes",
    singular: "csinode",
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.CSINode",
    strategy: Strategy { unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
