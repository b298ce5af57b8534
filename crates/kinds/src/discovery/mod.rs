//! discovery.k8s.io/v1.

mod endpoint_slice;

use crate::def::KindDef;

pub use endpoint_slice::ENDPOINT_SLICE;

pub const KINDS: &[&KindDef] = &[&ENDPOINT_SLICE];
