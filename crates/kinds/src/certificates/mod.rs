//! certificates.k8s.io/v1.

mod certificate_signing_request;

use crate::def::KindDef;

pub use certificate_signing_request::CERTIFICATE_SIGNING_REQUEST;
pub(crate) use certificate_signing_request::validate_signer_name;

pub const KINDS: &[&KindDef] = &[&CERTIFICATE_SIGNING_REQUEST];
