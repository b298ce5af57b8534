//! Where admission plugs in; who admits is decided elsewhere.

use async_trait::async_trait;
use machinery::{ApiError, Object};

use crate::registry::Registry;
use crate::request::AdmissionRequest;

/// Looks at every write before it happens.
#[async_trait]
pub trait Admission: Send + Sync {
    /// May change the object; defaults are filled in again afterwards, and validation comes later. `None` on deletion.
    async fn mutate(
        &self,
        registry: &Registry,
        request: &AdmissionRequest<'_>,
        object: Option<&mut Object>,
    ) -> Result<(), ApiError>;

    /// The last word on a valid object; `None` on deletion.
    async fn validate(
        &self,
        registry: &Registry,
        request: &AdmissionRequest<'_>,
        object: Option<&Object>,
    ) -> Result<(), ApiError>;
}

/// Lets everything pass; holds until the real one is set.
pub struct AdmitAll;

#[async_trait]
impl Admission for AdmitAll {
    async fn mutate(&self, _: &Registry, _: &AdmissionRequest<'_>, _: Option<&mut Object>) -> Result<(), ApiError> {
        Ok(())
    }

    async fn validate(&self, _: &Registry, _: &AdmissionRequest<'_>, _: Option<&Object>) -> Result<(), ApiError> {
        Ok(())
    }
}
