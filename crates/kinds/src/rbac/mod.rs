//! rbac.authorization.k8s.io/v1.

mod bindings;
mod roles;

use crate::def::KindDef;

pub use bindings::{CLUSTER_ROLE_BINDING, ROLE_BINDING};
pub use roles::{CLUSTER_ROLE, ROLE};

pub const GROUP: &str = "rbac.authorization.k8s.io";

pub const KINDS: &[&KindDef] = &[&CLUSTER_ROLE_BINDING, &CLUSTER_ROLE, &ROLE_BINDING, &ROLE];
