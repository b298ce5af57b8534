//! Lease.

use machinery::Object;
use machinery::field::ErrorList;

use crate::check::{At, non_negative};
use crate::columns::{AGE, NAME};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Strategy};

pub static LEASE: KindDef = KindDef {
    group: "coordination.k8s.io",
    kind: "Lease",
    resource: "leases",
    singular: "lease",
    schema: "io.k8s.api.coordination.v1.Lease",
    columns: &[
        NAME,
        Column::string("Holder", Field("spec.holderIdentity"), |lease| lease.str(&["spec", "holderIdentity"]).into()),
        AGE,
    ],
    strategy: Strategy {
        any_finalizers: true,
        prepare_create: |lease| COORDINATED.iter().for_each(|field| drop_field(lease, field)),
        prepare_update: |new, old| {
            let added = COORDINATED.iter().filter(|field| old.get(&["spec", field]).is_none());
            added.for_each(|field| drop_field(new, field));
        },
        validate,
        create_on_update: true,
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

/// Fields of coordinated leader election, which is not served.
const COORDINATED: [&str; 2] = ["strategy", "preferredHolder"];

fn drop_field(lease: &mut Object, field: &str) {
    if lease.get(&["spec", field]).is_some() {
        lease.map_mut(&["spec"]).remove(field);
    }
}

fn validate(lease: &Object) -> ErrorList {
    let spec = At::field(lease, "spec");
    let duration = spec.child("leaseDurationSeconds");
    let mut errors = ErrorList::new();
    if duration.int().is_some_and(|seconds| seconds <= 0) {
        errors.push(duration.invalid("must be greater than 0"));
    }
    errors.extend(non_negative(&spec.child("leaseTransitions")));
    errors
}
