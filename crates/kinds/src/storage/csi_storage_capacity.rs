//! CSIStorageCapacity.

use crate::columns::{NAME, scalar};
use crate::def::{Column, KindDef, Strategy};

pub static CSI_STORAGE_CAPACITY: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "CSIStorageCapacity",
    resource: "csistoragecapacities",
    singular: "csistoragecapacity",
    schema: "io.k8s.api.storage.v1.CSIStorageCapacity",
    columns: &[
        NAME,
        Column::string("StorageClassName", "Class of storage", |capacity| capacity.str(&["storageClassName"]).into()),
        Column::string("Capacity", "How much is left", |capacity| {
            capacity.get(&["capacity"]).map_or_else(|| "<unset>".to_owned(), scalar).into()
        }),
    ],
    strategy: Strategy { unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
