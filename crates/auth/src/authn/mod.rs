//! Authentication: from what a client shows to a user.

pub mod anonymous;
pub mod bootstrap_token;
pub mod client_certificate;
pub mod configured;
pub mod oidc;
pub mod request_header;
pub mod service_account;
pub mod token_file;
pub mod token_review;
pub mod webhook;

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use machinery::{ApiError, UserInfo};
use registry::{Annotations, Warnings};

use crate::tokens::TokenIssuer;
use crate::view::View;
pub use anonymous::{Anonymous, AnonymousRequests};
pub use bootstrap_token::BootstrapTokens;
pub use client_certificate::{ClientCertificate, ClientCertificates};
pub use configured::Configured;
pub use request_header::{HeaderNames, RequestHeaders};
pub use service_account::ServiceAccountTokens;
pub use token_file::TokenFile;
pub use webhook::WebhookTokens;

/// What of a user's extra tells by which credential they came.
pub(crate) const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// What a client shows.
#[derive(Clone, Default)]
pub struct Credentials<'a> {
    pub client_certificate: Option<ClientCertificate>,
    pub bearer_token: Option<String>,
    /// Who the token must be meant for; empty: the API server itself.
    pub audiences: Vec<String>,
    /// A proxy tells of its users there.
    pub headers: Option<&'a HeaderMap>,
    /// What is asked for.
    pub path: &'a str,
    /// Set where `audiences` does not name the API server.
    pub for_others: bool,
    /// What authenticators have to say to the client.
    pub warnings: Warnings,
    /// What they have to say to the audit log.
    pub annotations: Annotations,
}

impl Credentials<'_> {
    pub fn token(token: impl Into<String>) -> Self {
        Self { bearer_token: Some(token.into()), ..Self::default() }
    }

    /// Whether the token is meant for the API server, as all tokens are that say nothing of whom they are for.
    pub(crate) fn for_api(&self) -> bool {
        !self.for_others
    }
}

/// Why credentials are no good: for logs and TokenReviews. Who showed them learns only that they are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl From<Refused> for ApiError {
    fn from(_: Refused) -> Self {
        Self::unauthorized()
    }
}

#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Nothing: these credentials are not of the kind this authenticator judges. An error: they are, and
    /// they are no good.
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused>;
}

/// Asks several authenticators in order; the first that knows the user decides. Credentials that one
/// refuses may still be good for another.
pub struct Union(pub Vec<Arc<dyn Authenticator>>);

impl Union {
    /// The authenticators of a cluster without configuration: client certificates, service account tokens, bootstrap
    /// tokens.
    pub fn standard(view: Arc<dyn View>, issuer: Arc<TokenIssuer>) -> Self {
        Self(vec![
            Arc::new(ClientCertificates::default()),
            Arc::new(ServiceAccountTokens::new(Arc::clone(&view), issuer)),
            Arc::new(BootstrapTokens::new(view)),
        ])
    }
}

#[async_trait]
impl Authenticator for Union {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let mut refused: Vec<String> = Vec::new();
        for authenticator in &self.0 {
            match authenticator.authenticate(credentials).await {
                Ok(Some(user)) => return Ok(Some(user)),
                Ok(None) => {}
                Err(Refused(why)) => refused.push(why),
            }
        }
        match refused.as_slice() {
            // A token that nobody knows is as bad as a forged one; no credentials at all are for the caller.
            [] if credentials.bearer_token.is_some() => Err(Refused("invalid bearer token".to_owned())),
            [] => Ok(None),
            [why] => Err(Refused(why.clone())),
            several => Err(Refused(format!("[{}]", several.join(", ")))),
        }
    }
}

/// Lets in who the first knows, and nobody whose credentials it refuses; who shows none is for the second to judge.
pub struct OrAnonymous {
    pub known: Union,
    pub anonymous: Arc<AnonymousRequests>,
}

#[async_trait]
impl Authenticator for OrAnonymous {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        match self.known.authenticate(credentials).await? {
            Some(user) => Ok(Some(user)),
            None => self.anonymous.authenticate(credentials).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::Objects;

    #[tokio::test]
    async fn no_credentials_are_no_error_but_unknown_tokens_are() {
        let key = crate::pki::key_pem(&crate::pki::generate_key()).unwrap();
        let issuer = TokenIssuer::from_pem(&key, crate::tokens::Terms::of(crate::tokens::ISSUER)).unwrap();
        let union = Union::standard(Arc::new(Objects::default()), Arc::new(issuer));
        assert_eq!(union.authenticate(&Credentials::default()).await, Ok(None));
        let error = union.authenticate(&Credentials::token("who-knows")).await.unwrap_err();
        assert_eq!(error, Refused("invalid bearer token".to_owned()));
    }
}
