//! flowcontrol.apiserver.k8s.io/v1.

mod flow_schema;
mod flow_schema_validate;
pub mod mandatory;
mod priority_level_configuration;

use crate::def::KindDef;

pub use flow_schema::FLOW_SCHEMA;
pub use priority_level_configuration::PRIORITY_LEVEL_CONFIGURATION;

pub const KINDS: &[&KindDef] = &[&FLOW_SCHEMA, &PRIORITY_LEVEL_CONFIGURATION];
