//! certificates.k8s.io/v1.

mod certificate_signing_request;
mod contents;

use crate::def::KindDef;

pub use certificate_signing_request::CERTIFICATE_SIGNING_REQUEST;
pub(crate) use certificate_signing_request::validate_signer_name;
pub use contents::parse_request;

pub const KINDS: &[&KindDef] = &[&CERTIFICATE_SIGNING_REQUEST];
