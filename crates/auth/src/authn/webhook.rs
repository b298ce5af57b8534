//! Tokens that a webhook judges. (upstream: plugin/pkg/authenticator/token/webhook)

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use machinery::UserInfo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Authenticator, Credentials, Refused};
use crate::cache::Cache;
use crate::kubeconfig::{Endpoint, KubeconfigError};
use crate::metrics::METRICS;
use crate::retry;

const TIMEOUT: Duration = Duration::from_secs(30);
const REMEMBERED_MAX: usize = 32 << 10;
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// How the webhook is asked.
pub struct Options {
    /// Of the TokenReviews that are sent: `v1` or `v1beta1`.
    pub version: String,
    /// How long its answers hold; nothing: each token is asked for each time.
    pub cache_ttl: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    #[error("unsupported authentication webhook version {0:?}, supported versions are \"v1\", \"v1beta1\"")]
    Version(String),
}

/// Asks a webhook whose tokens are. Of the answers, failures are not remembered.
pub struct WebhookTokens {
    endpoint: Endpoint,
    options: Options,
    answers: Cache<[u8; 32], Result<Option<UserInfo>, Refused>>,
}

impl WebhookTokens {
    pub fn read(kubeconfig: &Path, options: Options) -> Result<Self, WebhookError> {
        if !VERSIONS.contains(&options.version.as_str()) {
            return Err(WebhookError::Version(options.version));
        }
        Ok(Self { endpoint: Endpoint::read(kubeconfig)?, options, answers: Cache::new(REMEMBERED_MAX) })
    }

    fn review(&self, token: &str, audiences: &[String]) -> Value {
        let mut review = json!({
            "apiVersion": format!("authentication.k8s.io/{}", self.options.version),
            "kind": "TokenReview",
            "metadata": {"creationTimestamp": null},
            "spec": {"token": token},
            "status": {"user": {}},
        });
        if !audiences.is_empty() {
            review["spec"]["audiences"] = json!(audiences);
        }
        review
    }
}

#[async_trait]
impl Authenticator for WebhookTokens {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let Some(token) = &credentials.bearer_token else { return Ok(None) };
        let (key, begun) = (digest(token, &credentials.audiences), clock::monotonic());
        if let Some(answer) = self.answers.get(&key) {
            METRICS.looked_up(true, begun.elapsed());
            return answer;
        }
        let answer = self.ask(key, token, credentials).await;
        METRICS.looked_up(false, begun.elapsed());
        answer
    }
}

impl WebhookTokens {
    async fn ask(
        &self,
        key: [u8; 32],
        token: &str,
        credentials: &Credentials<'_>,
    ) -> Result<Option<UserInfo>, Refused> {
        let _fetching = METRICS.fetching();
        let review = self.review(token, &credentials.audiences);
        let reviewed = retry::with_backoff(|| self.endpoint.post(&review, TIMEOUT)).await;
        METRICS.fetched_answer(reviewed.is_ok());
        let reviewed = reviewed.map_err(|error| {
            tracing::error!(%error, "Failed to make webhook authenticator request");
            Refused(error.to_string())
        })?;
        let answer = read(&reviewed["status"], credentials);
        if answer.is_ok() {
            self.answers.put(key, answer.clone(), self.options.cache_ttl);
        }
        answer
    }
}

/// A webhook that names no audiences speaks for the API server.
fn read(status: &Value, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
    let named = status["audiences"].as_array().map_or(&[][..], Vec::as_slice);
    let meant = match (credentials.audiences.as_slice(), named) {
        ([], _) => true,
        (_, []) => credentials.for_api(),
        (wanted, named) => named.iter().filter_map(Value::as_str).any(|of| wanted.iter().any(|wanted| wanted == of)),
    };
    if !meant {
        return Ok(None);
    }
    if status["authenticated"] != json!(true) {
        let why = status["error"].as_str().unwrap_or_default();
        return if why.is_empty() { Ok(None) } else { Err(Refused(why.to_owned())) };
    }
    let user: UserInfo = serde_json::from_value(status["user"].clone()).map_err(|error| Refused(error.to_string()))?;
    Ok(Some(user.authenticated()))
}

/// Of a token and whom it must be meant for, so that no token is kept.
fn digest(token: &str, audiences: &[String]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_along_their_audiences() {
        let jane = || Ok(Some(UserInfo::new("jane", &["dev"])));
        let answer = json!({"authenticated": true, "user": {"username": "jane", "groups": ["dev"]}});
        let for_vault =
            json!({"authenticated": true, "user": {"username": "jane", "groups": ["dev"]}, "audiences": ["vault"]});
        let api = || Credentials { audiences: vec!["api".to_owned()], ..Credentials::token("t") };
        let vault = || Credentials { audiences: vec!["vault".to_owned()], for_others: true, ..Credentials::token("t") };
        for (status, credentials, expected) in [
            (&answer, Credentials::token("t"), jane()),
            (&answer, api(), jane()),
            (&answer, vault(), Ok(None)),
            (&for_vault, vault(), jane()),
            (&for_vault, api(), Ok(None)),
            (&json!({"authenticated": false}), api(), Ok(None)),
            (&json!({"error": "revoked"}), api(), Err(Refused("revoked".to_owned()))),
        ] {
            assert_eq!(read(status, &credentials), expected, "{status}");
        }
    }

    #[test]
    fn a_token_is_told_from_its_audiences() {
        assert_ne!(digest("ab", &[]), digest("a", &["b".to_owned()]));
    }
}
