//! What can go wrong while an expression is evaluated.

use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The expression cannot be evaluated on these values.
    #[error("{0}")]
    Failed(Arc<str>),
    /// No overload takes these arguments.
    #[error("no such overload")]
    NoOverload,
    /// The cost passed its limit. Nothing absorbs this.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
}

impl Error {
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into().into())
    }
}
