//! networking.k8s.io/v1.

mod ingress;
mod ingress_class;
mod ingress_validate;
mod ip_address;
mod network_policy;
mod service_cidr;

use crate::def::KindDef;

pub use ingress::INGRESS;
pub use ingress_class::INGRESS_CLASS;
pub use ip_address::{ALLOCATOR, IP_ADDRESS, MANAGED_BY_LABEL, allocated_labels, family};
pub use network_policy::NETWORK_POLICY;
pub use service_cidr::{DEFAULT_SERVICE_CIDR, SERVICE_CIDR};

pub const KINDS: &[&KindDef] = &[&INGRESS_CLASS, &INGRESS, &IP_ADDRESS, &NETWORK_POLICY, &SERVICE_CIDR];
