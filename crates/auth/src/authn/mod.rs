//! Authentication: from what a client shows to a user.

pub mod bootstrap_token;
pub mod client_certificate;
pub mod service_account;
pub mod token_review;

use std::sync::Arc;

use async_trait::async_trait;
use machinery::{ApiError, UserInfo};

use crate::tokens::TokenIssuer;
use crate::view::View;
pub use bootstrap_token::BootstrapTokens;
pub use client_certificate::{ClientCertificate, ClientCertificates};
pub use service_account::ServiceAccountTokens;

/// What a client shows.
#[derive(Clone, Default)]
pub struct Credentials {
    pub client_certificate: Option<ClientCertificate>,
    pub bearer_token: Option<String>,
    /// Who the token must be meant for; empty: the API server itself.
    pub audiences: Vec<String>,
}

impl Credentials {
    pub fn token(token: impl Into<String>) -> Self {
        Self { bearer_token: Some(token.into()), ..Self::default() }
    }
}

#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Nothing: these credentials are not of the kind this authenticator judges. An error: they are, and
    /// they are no good.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<UserInfo>, ApiError>;
}

/// Asks several authenticators in order; the first that knows the user decides. Credentials that one
/// refuses may still be good for another.
pub struct Union(pub Vec<Arc<dyn Authenticator>>);

impl Union {
    /// The authenticators of a cluster: client certificates, service account tokens, bootstrap tokens.
    pub fn standard(view: Arc<dyn View>, issuer: Arc<TokenIssuer>) -> Self {
        Self(vec![
            Arc::new(ClientCertificates),
            Arc::new(ServiceAccountTokens::new(Arc::clone(&view), issuer)),
            Arc::new(BootstrapTokens::new(view)),
        ])
    }
}

#[async_trait]
impl Authenticator for Union {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<UserInfo>, ApiError> {
        let mut refused = None;
        for authenticator in &self.0 {
            match authenticator.authenticate(credentials).await {
                Ok(Some(user)) => return Ok(Some(user)),
                Ok(None) => {}
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) => Err(error),
            // A token that nobody knows is as bad as a forged one; no credentials at all are for the caller.
            None if credentials.bearer_token.is_some() => Err(ApiError::unauthorized()),
            None => Ok(None),
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
        let issuer = TokenIssuer::from_pem(&key, crate::tokens::ISSUER).unwrap();
        let union = Union::standard(Arc::new(Objects::default()), Arc::new(issuer));
        assert_eq!(union.authenticate(&Credentials::default()).await, Ok(None));
        let error = union.authenticate(&Credentials::token("who-knows")).await.unwrap_err();
        assert_eq!((error.code(), error.message.as_str()), (401, "Unauthorized"));
    }
}
