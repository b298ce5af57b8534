//! CSIStorageCapacity.

use crate::def::{KindDef, Strategy};

pub static CSI_STORAGE_CAPACITY: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "CSIStorageCapacity",
    resource: "csistoragecapacities",
    singular: "csistoragecapacity",
    schema: "io.k8s.api.storage.v1.CSIStorageCapacity",
    strategy: Strategy { unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
