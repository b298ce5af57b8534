//! resource.k8s.io/v1, and v1beta1 and v1beta2 where they are asked for.

mod beta;
mod claim_validate;
mod devices;
mod gates;
mod names;
mod resource_claim;
mod selectors;
mod slice_validate;
mod status_validate;

use crate::def::KindDef;

pub use beta::BETA;
pub use devices::{DEVICE_CLASS, RESOURCE_SLICE};
pub use resource_claim::{RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE};

pub const KINDS: &[&KindDef] = &[&DEVICE_CLASS, &RESOURCE_CLAIM, &RESOURCE_CLAIM_TEMPLATE, &RESOURCE_SLICE];
