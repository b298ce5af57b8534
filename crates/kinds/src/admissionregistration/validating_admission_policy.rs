//! ValidatingAdmissionPolicy.

use crate::def::{KindDef, Scope, Strategy, Subresource};

pub static VALIDATING_ADMISSION_POLICY: KindDef = KindDef {
    group: "admissionregistration.k8s.io",
    kind: "ValidatingAdmissionPolicy",
    resource: "validatingadmissionpolicies",
    singular: "validatingadmissionpolicy",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    subresources: &[Subresource::Status],
    strategy: Strategy { unconditional_update: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
