//! Lease.

use machinery::Object;
use machinery::field::ErrorList;

use crate::check::{At, non_negative};
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
    strategy: Strategy { validate, create_on_update: true, unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

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
