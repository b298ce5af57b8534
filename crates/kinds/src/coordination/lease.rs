//! Lease.

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Strategy};

pub static LEASE: KindDef = KindDef {
    group: "coordination.k8s.io",
    kind: "Lease",
    resource: "leases",
    singular: "lease",
    schema: "io.k8s.api.coordination.v1.Lease",
    columns: &[
        NAME,
        Column::string("Holder", "Who holds it", |lease| lease.str(&["spec", "holderIdentity"]).into()),
        AGE,
    ],
    strategy: Strategy { create_on_update: true, unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
