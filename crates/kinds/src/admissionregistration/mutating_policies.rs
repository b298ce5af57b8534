//! MutatingAdmissionPolicy and its binding, which have no stable version yet.

use super::policies::{BINDING_COLUMNS, PARAM_KIND, default_binding, default_policy};
use super::{VALIDATING_ADMISSION_POLICY, mutating_validate};
use crate::columns::{AGE, NAME};
use crate::def::Description::Text;
use crate::def::{Column, KindDef, Strategy};

pub static MUTATING_ADMISSION_POLICY: KindDef = KindDef {
    version: "v1beta1",
    kind: "MutatingAdmissionPolicy",
    resource: "mutatingadmissionpolicies",
    singular: "mutatingadmissionpolicy",
    schema: "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicy",
    subresources: &[],
    columns: &[
        NAME,
        Column::integer(
            "Mutations",
            Text("Mutation indicates the number of mutations rules defined in this configuration"),
            |policy| policy.list(&["spec", "mutations"]).len().into(),
        ),
        PARAM_KIND,
        AGE,
    ],
    strategy: Strategy {
        any_finalizers: true,
        default: default_policy,
        validate: mutating_validate::validate_policy,
        generation: true,
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..VALIDATING_ADMISSION_POLICY
};

pub static MUTATING_ADMISSION_POLICY_BINDING: KindDef = KindDef {
    kind: "MutatingAdmissionPolicyBinding",
    resource: "mutatingadmissionpolicybindings",
    singular: "mutatingadmissionpolicybinding",
    schema: "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicyBinding",
    columns: BINDING_COLUMNS,
    strategy: Strategy {
        any_finalizers: true,
        default: default_binding,
        validate: mutating_validate::validate_binding,
        ..MUTATING_ADMISSION_POLICY.strategy
    },
    ..MUTATING_ADMISSION_POLICY
};
