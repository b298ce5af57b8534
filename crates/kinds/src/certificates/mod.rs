//! certificates.k8s.io/v1.

mod certificate_signing_request;

use crate::def::KindDef;

pub use certificate_signing_request::CERTIFICATE_SIGNING_REQUEST;

pub const KINDS: &[&KindDef] = &[&CERTIFICATE_SIGNING_REQUEST];
