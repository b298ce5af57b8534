//! What can go wrong in a reconcile, and what the queue does about it.

use kube::core::Status;

/// What the queue does with a key whose reconcile failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something else is at fault or may change: try again after the back-off, and say so.
    Retry,
    /// The view was older than the server's state: try again quietly.
    Conflict,
    /// Trying again would give the same answer: wait for a change.
    Final,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", describe(.0))]
    Kube(#[from] kube::Error),
    #[error("{0}")]
    Retry(String),
    #[error("{0}")]
    Final(String),
    #[error("encoding an object: {0}")]
    Encoding(#[from] serde_json::Error),
}

impl Error {
    pub fn class(&self) -> Class {
        match self {
            Self::Final(_) | Self::Encoding(_) => Class::Final,
            Self::Retry(_) => Class::Retry,
            Self::Kube(kube::Error::Api(status)) => class_of(status),
            Self::Kube(_) => Class::Retry,
        }
    }
}

/// Invalid objects and refusals are retried: a quota, a policy or a webhook may change its mind.
fn class_of(status: &Status) -> Class {
    match status.code {
        409 if status.reason == "Conflict" => Class::Conflict,
        400 | 405 | 415 => Class::Final,
        _ => Class::Retry,
    }
}

/// The server's own words where there are some.
fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Questions about an answer of the server.
pub trait ApiErrorExt {
    fn status(&self) -> Option<&Status>;

    fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    fn is_already_exists(&self) -> bool {
        self.status().is_some_and(|status| status.reason == "AlreadyExists")
    }

    fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.reason == "Conflict")
    }

    /// The namespace is being deleted, so nothing can be created in it.
    fn is_namespace_terminating(&self) -> bool {
        let causes = self.status().and_then(|status| status.details.as_ref()).map(|details| &details.causes);
        causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
    }
}

impl ApiErrorExt for kube::Error {
    fn status(&self) -> Option<&Status> {
        match self {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }
}

impl ApiErrorExt for Error {
    fn status(&self) -> Option<&Status> {
        match self {
            Self::Kube(error) => error.status(),
            _ => None,
        }
    }
}

/// A deletion of what is gone already is a success.
pub fn ignore_not_found<T>(result: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A creation of what is there already is a success.
pub fn ignore_already_exists<T>(result: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_already_exists() => Ok(None),
        Err(error) => Err(error),
    }
}
