//! coordination.k8s.io/v1, and v1beta1 where it is asked for.

mod lease;
mod lease_candidate;

use crate::def::KindDef;

pub use lease::LEASE;
pub use lease_candidate::LEASE_CANDIDATE;

pub const BETA: &[&KindDef] = &[&LEASE_CANDIDATE];

pub const KINDS: &[&KindDef] = &[&LEASE];
