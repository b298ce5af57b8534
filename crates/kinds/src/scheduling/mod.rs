//! scheduling.k8s.io/v1.

mod priority_class;

use crate::def::KindDef;

pub use priority_class::PRIORITY_CLASS;

pub const KINDS: &[&KindDef] = &[&PRIORITY_CLASS];
