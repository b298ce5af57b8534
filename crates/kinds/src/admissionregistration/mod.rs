//! admissionregistration.k8s.io/v1.

mod mutating_webhook_configuration;
mod validating_admission_policy;
mod validating_admission_policy_binding;
mod validating_webhook_configuration;

use crate::def::KindDef;

pub use mutating_webhook_configuration::MUTATING_WEBHOOK_CONFIGURATION;
pub use validating_admission_policy::VALIDATING_ADMISSION_POLICY;
pub use validating_admission_policy_binding::VALIDATING_ADMISSION_POLICY_BINDING;
pub use validating_webhook_configuration::VALIDATING_WEBHOOK_CONFIGURATION;

pub const KINDS: &[&KindDef] = &[
    &MUTATING_WEBHOOK_CONFIGURATION,
    &VALIDATING_ADMISSION_POLICY,
    &VALIDATING_ADMISSION_POLICY_BINDING,
    &VALIDATING_WEBHOOK_CONFIGURATION,
];
