//! Continue tokens: where the next page of a list starts, and at which revision.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, Engine};
use machinery::{ApiError, Reason};
use serde::Deserialize;
use serde_json::json;
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
        let token = Token::decode(token).map_err(|why| invalid(&why))?;
        if token.v != VERSION {
            return Err(invalid(&format!("server does not recognize this encoded version {}", token.v)));
        }
        if token.rv == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        if token.start.is_empty() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)"));
        }
        let start = token.start.strip_prefix('/').unwrap_or(&token.start);
        if start.split('/').any(|part| ["", ".", ".."].contains(&part)) {
            return Err(invalid(&token.start));
        }
        Ok(Self { revision: token.rv.try_into().ok(), start: format!("{prefix}{start}") })
    }
}

/// What a token says, as upstream prints it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Token {
    v: String,
    /// Negative for the newest.
    rv: i64,
    start: String,
}

impl Token {
    fn decode(token: &str) -> Result<Self, String> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| match error {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => {
                format!("illegal base64 data at input byte {at}")
            }
            // Go finds the padding that this alphabet does not have, or the beginning of the group that is too short.
            _ => format!("illegal base64 data at input byte {}", token.find('=').unwrap_or(token.len() & !3)),
        })?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }
}

fn invalid(why: &str) -> ApiError {
    ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
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
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for (token, why) in [
            ("?".to_owned(), "illegal base64 data at input byte 0"),
            ("e30=".to_owned(), "illegal base64 data at input byte 3"),
            ("e30".to_owned(), "server does not recognize this encoded version "),
            (encoded(r#"{"v":"v2"}"#), "server does not recognize this encoded version v2"),
            (
                encoded(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
                "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (encoded(r#"{"v":"meta.k8s.io/v1","rv":1}"#), "encoded start key empty (version meta.k8s.io/v1)"),
            (encoded(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}"#), "../secrets/a"),
        ] {
            let error = Continuation::decode(&token, "").unwrap_err();
            assert_eq!(error.message, format!("invalid continue token: continue key is not valid: {why}"));
        }
    }
}
