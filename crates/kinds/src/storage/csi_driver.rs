//! CSIDriver.

use crate::def::{KindDef, Scope, Strategy};

pub static CSI_DRIVER: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "CSIDriver",
    resource: "csidrivers",
    singular: "csidriver",
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.CSIDriver",
    strategy: Strategy { generation: true, unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
