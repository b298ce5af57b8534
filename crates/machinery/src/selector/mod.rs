//! Selectors over labels and fields, in upstream's syntax.

mod field;
mod label;
mod parse;

pub use field::{FieldRequirement, FieldSelector};
pub use label::{LabelSelector, Operator, Requirement};

use crate::error::ApiError;

/// What is wrong with a selector, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub(crate) String);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::bad_request(error.0)
    }
}
