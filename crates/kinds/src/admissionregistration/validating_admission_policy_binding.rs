//! ValidatingAdmissionPolicyBinding.

use crate::def::{KindDef, Scope, Strategy};

pub static VALIDATING_ADMISSION_POLICY_BINDING: KindDef = KindDef {
    group: "admissionregistration.k8s.io",
    kind: "ValidatingAdmissionPolicyBinding",
    resource: "validatingadmissionpolicybindings",
    singular: "validatingadmissionpolicybinding",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    strategy: Strategy { generation: true, unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
