//! What clients see of the store's failures.

use machinery::{ApiError, Reason};
use store::Error;

/// A store's failure that is nobody's conflict.
pub fn of_store(error: Error) -> ApiError {
    match error {
        // As upstream shows what etcd says.
        Error::Full(why) => ApiError::new(Reason::Unknown, why),
        Error::Closed => ApiError::unavailable("the server is shutting down"),
        Error::Compacted(_) => ApiError::expired("The resourceVersion for the provided list is too old."),
        Error::Future(newest) => {
            ApiError::new(Reason::Timeout, format!("Timeout: Too large resource version, current: {newest}"))
        }
        Error::TooLarge(why) => ApiError::new(Reason::RequestEntityTooLarge, why),
        unreachable @ Error::Unreachable(_) => ApiError::unavailable(unreachable.to_string()),
        unknown @ Error::Unknown(_) => ApiError::new(Reason::Timeout, unknown.to_string()),
        other => ApiError::internal(other),
    }
}
