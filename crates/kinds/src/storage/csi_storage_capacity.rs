//! CSIStorageCapacity.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{dns1123_subdomain, validate_label_selector};

use crate::check::{At, immutable, non_negative_quantity};
use crate::columns::{NAME, scalar};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Strategy};

pub static CSI_STORAGE_CAPACITY: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "CSIStorageCapacity",
    resource: "csistoragecapacities",
    singular: "csistoragecapacity",
    schema: "io.k8s.api.storage.v1.CSIStorageCapacity",
    columns: &[
        NAME,
        Column::string("StorageClassName", Field("storageClassName"), |capacity| {
            capacity.str(&["storageClassName"]).into()
        }),
        Column::string("Capacity", Field("capacity"), |capacity| {
            capacity.get(&["capacity"]).map_or_else(|| "<unset>".to_owned(), scalar).into()
        }),
    ],
    strategy: Strategy { validate, validate_update, unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn validate(capacity: &Object) -> ErrorList {
    let [topology, class, amount] =
        ["nodeTopology", "storageClassName", "capacity"].map(|field| At::field(capacity, field));
    let mut errors = ErrorList::new();
    if topology.is_set() {
        errors.extend(validate_label_selector(topology.value, &topology.path));
    }
    errors.extend(class.check(dns1123_subdomain));
    if amount.is_set() {
        errors.extend(non_negative_quantity(&amount));
    }
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let fields = ["nodeTopology", "storageClassName"];
    fields.iter().filter_map(|field| immutable(&At::field(new, field), &At::field(old, field))).collect()
}
