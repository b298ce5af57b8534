//! certificates.k8s.io/v1, and v1beta1 where it is asked for.

mod certificate_signing_request;
mod cluster_trust_bundle;
mod conditions;
mod contents;
mod pod_certificate_request;
mod pod_certificate_status;
mod possession;

use crate::def::KindDef;

pub use certificate_signing_request::CERTIFICATE_SIGNING_REQUEST;
pub(crate) use certificate_signing_request::validate_signer_name;
pub use cluster_trust_bundle::CLUSTER_TRUST_BUNDLE;
pub use contents::parse_request;
pub use pod_certificate_request::POD_CERTIFICATE_REQUEST;

pub const BETA: &[&KindDef] = &[&CLUSTER_TRUST_BUNDLE, &POD_CERTIFICATE_REQUEST];

pub const KINDS: &[&KindDef] = &[&CERTIFICATE_SIGNING_REQUEST];
