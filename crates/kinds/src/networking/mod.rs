//! networking.k8s.io/v1, and v1beta1 where it is asked for.

mod ingress;
mod ingress_class;
mod ingress_validate;
mod ip_address;
mod network_policy;
mod service_cidr;

use crate::def::{Deprecation, KindDef};

pub use ingress::INGRESS;
pub use ingress_class::INGRESS_CLASS;
pub use ip_address::{ALLOCATOR, IP_ADDRESS, IP_ADDRESS_V1BETA1, MANAGED_BY_LABEL, allocated_labels, family};
pub use network_policy::NETWORK_POLICY;
pub use service_cidr::{DEFAULT_SERVICE_CIDR, SERVICE_CIDR, SERVICE_CIDR_V1BETA1};

const V1BETA1_GOES: Deprecation = Deprecation { since: "1.34", removed: "1.37", replacement: "" };

pub const BETA: &[&KindDef] = &[&IP_ADDRESS_V1BETA1, &SERVICE_CIDR_V1BETA1];

pub const KINDS: &[&KindDef] = &[&INGRESS_CLASS, &INGRESS, &IP_ADDRESS, &NETWORK_POLICY, &SERVICE_CIDR];
