//! Where admission plugs in; who admits is decided elsewhere.

use async_trait::async_trait;
use machinery::{ApiError, Object};
use store::{Revision, Write};

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
    ) -> Result<Admitted, ApiError>;
}

/// Nothing, or what must be counted when the object is written.
pub type Admitted = Option<Box<dyn Counted>>;

/// A count that a write goes into.
#[async_trait]
pub trait Counted: Send + Sync {
    /// Counts and does the write; nothing when there is no count any more. The error refuses it.
    async fn write(
        self: Box<Self>,
        registry: &Registry,
        write: &Write,
    ) -> Result<Option<store::Result<Revision>>, ApiError>;
}

/// Lets everything pass; holds until the real one is set.
pub struct AdmitAll;

#[async_trait]
impl Admission for AdmitAll {
    async fn mutate(&self, _: &Registry, _: &AdmissionRequest<'_>, _: Option<&mut Object>) -> Result<(), ApiError> {
        Ok(())
    }

    async fn validate(&self, _: &Registry, _: &AdmissionRequest<'_>, _: Option<&Object>) -> Result<Admitted, ApiError> {
        Ok(None)
    }
}
