//! policy/v1.

mod pod_disruption_budget;

use crate::def::KindDef;

pub use pod_disruption_budget::POD_DISRUPTION_BUDGET;

pub const KINDS: &[&KindDef] = &[&POD_DISRUPTION_BUDGET];
