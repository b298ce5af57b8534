//! Continue tokens: where the next page of a list starts, and at which revision.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::{ApiError, Reason};
use serde_json::{Value, json};
use store::Revision;

const VERSION: &str = "meta.k8s.io/v1";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// Nothing for the newest: the pages need not agree with each other.
    pub revision: Option<Revision>,
    /// The first key of the page may be this one.
    pub start: String,
}

impl Continuation {
    /// `prefix`, which all keys of the list share, is left out of the token.
    pub fn encode(&self, prefix: &str) -> String {
        let revision = self.revision.map_or(-1, |revision| revision as i64);
        let start = self.start.strip_prefix(prefix).unwrap_or(&self.start);
        let token = json!({"v": VERSION, "rv": revision, "start": start});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    pub fn decode(token: &str, prefix: &str) -> Result<Self, ApiError> {
        let invalid = |why: String| ApiError::bad_request(format!("continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| invalid(error.to_string()))?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        if token["v"] != VERSION {
            return Err(invalid(format!("server does not recognize this encoded version {}", token["v"])));
        }
        let start = token["start"].as_str().filter(|start| !start.is_empty());
        let start = start.ok_or_else(|| invalid("encoded start key empty (version meta.k8s.io/v1)".to_owned()))?;
        let revision = match token["rv"].as_i64() {
            Some(revision) if revision > 0 => Some(revision as Revision),
            Some(-1) => None,
            _ => return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned())),
        };
        Ok(Self { revision, start: format!("{prefix}{start}") })
    }
}

/// The snapshot that a token belongs to is gone; `rest` continues the list without it.
/// upstream: staging/src/k8s.io/apiserver/pkg/storage/etcd3/errors.go
pub fn expired(rest: String) -> ApiError {
    let message = "The provided continue parameter is too old to display a consistent list result. You can start a new \
                   list without the continue parameter, or use the continue token in this response to retrieve the \
                   remainder of the results. Continuing with the provided token results in an inconsistent list - \
                   objects that were created, modified, or deleted between the time the first chunk was returned and \
                   now may show up in the list.";
    let mut error = ApiError::new(Reason::Expired, message);
    error.details = Some(Box::new(machinery::error::Details { continue_token: rest, ..Default::default() }));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_as_it_was_written() {
        let next = Continuation { revision: Some(7), start: "/registry/pods/default/web\0".to_owned() };
        let token = next.encode("/registry/pods/");
        assert_eq!(Continuation::decode(&token, "/registry/pods/").unwrap(), next);
        let newest = Continuation { revision: None, ..next };
        assert_eq!(Continuation::decode(&newest.encode("/registry/"), "/registry/").unwrap(), newest);
    }

    #[test]
    fn strange_tokens_are_refused() {
        for token in ["", "?", "e30", &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#)] {
            let error = Continuation::decode(token, "").unwrap_err();
            assert!(error.message.starts_with("continue key is not valid: "), "{error}");
        }
    }
}
