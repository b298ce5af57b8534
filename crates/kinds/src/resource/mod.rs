//! resource.k8s.io/v1.

mod claim_validate;
mod devices;
mod names;
mod resource_claim;
mod slice_validate;
mod status_validate;

use crate::def::KindDef;

pub use devices::{DEVICE_CLASS, RESOURCE_SLICE};
pub use resource_claim::{RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE};

pub const KINDS: &[&KindDef] = &[&DEVICE_CLASS, &RESOURCE_CLAIM, &RESOURCE_CLAIM_TEMPLATE, &RESOURCE_SLICE];
