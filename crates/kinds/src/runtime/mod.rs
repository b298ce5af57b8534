//! node.k8s.io/v1.

mod runtime_class;

use crate::def::KindDef;

pub use runtime_class::RUNTIME_CLASS;

pub const KINDS: &[&KindDef] = &[&RUNTIME_CLASS];
