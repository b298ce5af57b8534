//! admissionregistration.k8s.io/v1.

mod client;
pub mod expressions;
mod policies;
mod policy_validate;
mod rules;
mod webhooks;

use crate::def::KindDef;

pub use policies::{VALIDATING_ADMISSION_POLICY, VALIDATING_ADMISSION_POLICY_BINDING};
pub use webhooks::{MUTATING_WEBHOOK_CONFIGURATION, VALIDATING_WEBHOOK_CONFIGURATION};

pub const KINDS: &[&KindDef] = &[
    &MUTATING_WEBHOOK_CONFIGURATION,
    &VALIDATING_ADMISSION_POLICY,
    &VALIDATING_ADMISSION_POLICY_BINDING,
    &VALIDATING_WEBHOOK_CONFIGURATION,
];
