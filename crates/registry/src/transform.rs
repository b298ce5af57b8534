//! What happens to values on their way to the store and back. Encryption at rest is one such thing.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

/// Changes values between the registry and the store. Must be cheap and pure.
#[allow(clippy::wrong_self_convention, reason = "upstream's names of the two directions")]
pub trait Transformer: Send + Sync {
    fn to_storage(&self, key: &str, value: Bytes) -> Result<Bytes, TransformError>;
    fn from_storage(&self, key: &str, stored: Bytes) -> Result<Bytes, TransformError>;

    /// Whether `stored` is not what `to_storage` would make today, but by an older key.
    fn is_outdated(&self, _key: &str, _stored: &[u8]) -> bool {
        false
    }

    /// Whether values under this key are changed at all. What does not care asks no further.
    fn covers(&self, _key: &str) -> bool {
        false
    }

    /// Held from before a value is changed until it is stored: what it was changed by is in use.
    fn hold(&self, _key: &str) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// No key at hand opens the value, or it was tampered with.
    #[error("{key} can not be decrypted: {why}")]
    Decrypt { key: String, why: &'static str },
    #[error("{key} can not be encrypted")]
    Encrypt { key: String },
}

/// Stores values as they are.
pub struct Identity;

impl Transformer for Identity {
    fn to_storage(&self, _key: &str, value: Bytes) -> Result<Bytes, TransformError> {
        Ok(value)
    }

    fn from_storage(&self, _key: &str, stored: Bytes) -> Result<Bytes, TransformError> {
        Ok(stored)
    }
}
