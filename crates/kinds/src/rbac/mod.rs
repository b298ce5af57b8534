//! rbac.authorization.k8s.io/v1.

mod cluster_role;
mod cluster_role_binding;
mod role;
mod role_binding;

use crate::def::KindDef;

pub use cluster_role::CLUSTER_ROLE;
pub use cluster_role_binding::CLUSTER_ROLE_BINDING;
pub use role::ROLE;
pub use role_binding::ROLE_BINDING;

pub const KINDS: &[&KindDef] = &[&CLUSTER_ROLE_BINDING, &CLUSTER_ROLE, &ROLE_BINDING, &ROLE];
