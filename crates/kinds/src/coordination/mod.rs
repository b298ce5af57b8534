//! coordination.k8s.io/v1.

mod lease;

use crate::def::KindDef;

pub use lease::LEASE;

pub const KINDS: &[&KindDef] = &[&LEASE];
