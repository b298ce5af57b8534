//! CSINode.

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Scope, Strategy};

pub static CSI_NODE: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "CSINode",
    resource: "csinodes",
    singular: "csinode",
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.CSINode",
    columns: &[
        NAME,
        Column::integer("Drivers", "Number of drivers on the node", |node| {
            node.list(&["spec", "drivers"]).len().into()
        }),
        AGE,
    ],
    strategy: Strategy { unconditional_update: false, returns_deleted: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
