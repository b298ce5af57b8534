//! admissionregistration.k8s.io/v1, and v1beta1 where it is asked for.

pub(crate) mod client;
pub mod expressions;
mod mutating_policies;
mod mutating_validate;
mod policies;
mod policy_validate;
mod rules;
mod typecheck;
mod webhooks;

use crate::def::KindDef;

pub use mutating_policies::{MUTATING_ADMISSION_POLICY, MUTATING_ADMISSION_POLICY_BINDING};
pub use policies::{VALIDATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY_BINDING};
pub use typecheck::{ExpressionWarning, concerns, type_check};
pub use webhooks::{MUTATING_WEBHOOK_CONFIGURATION, VALIDATING_WEBHOOK_CONFIGURATION};

pub const BETA: &[&KindDef] = &[&MUTATING_ADMISSION_POLICY, &MUTATING_ADMISSION_POLICY_BINDING];

pub const KINDS: &[&KindDef] = &[
    &MUTATING_WEBHOOK_CONFIGURATION,
    &VALIDATING_ADMISSION_POLICY,
    &VALIDATING_ADMISSION_POLICY_BINDING,
    &VALIDATING_WEBHOOK_CONFIGURATION,
];
