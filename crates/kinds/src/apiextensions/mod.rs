//! apiextensions.k8s.io/v1.

mod beta;
mod custom_resource_definition;
mod validate;

use crate::def::KindDef;

pub use custom_resource_definition::CUSTOM_RESOURCE_DEFINITION;

pub const KINDS: &[&KindDef] = &[&CUSTOM_RESOURCE_DEFINITION];
