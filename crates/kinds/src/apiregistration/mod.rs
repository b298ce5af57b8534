//! apiregistration.k8s.io/v1.

mod api_service;

use crate::def::KindDef;

pub use api_service::API_SERVICE;

pub const KINDS: &[&KindDef] = &[&API_SERVICE];
