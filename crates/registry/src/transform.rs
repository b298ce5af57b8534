//! What happens to values on their way to the store and back: encryption at rest.

use bytes::Bytes;

/// Changes values between the registry and the store. Must be cheap and pure.
pub trait Transformer: Send + Sync {
    fn to_storage(&self, key: &str, value: Bytes) -> Result<Bytes, TransformError>;
    fn from_storage(&self, key: &str, stored: Bytes) -> Result<Bytes, TransformError>;
}

#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// No key at hand opens the value, or it was tampered with.
    #[error("{key} can not be decrypted: {why}")]
    Decrypt { key: String, why: &'static str },
    #[error("{key} can not be encrypted")]
    Encrypt { key: String },
    #[error("encryption keys: {0}")]
    Keys(String),
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
