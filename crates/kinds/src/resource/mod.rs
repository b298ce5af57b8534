//! resource.k8s.io/v1.

mod device_class;
mod resource_claim;
mod resource_claim_template;
mod resource_slice;

use crate::def::KindDef;

pub use device_class::DEVICE_CLASS;
pub use resource_claim::RESOURCE_CLAIM;
pub use resource_claim_template::RESOURCE_CLAIM_TEMPLATE;
pub use resource_slice::RESOURCE_SLICE;

pub const KINDS: &[&KindDef] = &[&DEVICE_CLASS, &RESOURCE_CLAIM, &RESOURCE_CLAIM_TEMPLATE, &RESOURCE_SLICE];
