//! Authentication: from what a client shows to a user.

use async_trait::async_trait;
use machinery::{ApiError, UserInfo};
use rustls::pki_types::CertificateDer;

/// What a client shows.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The leaf certificate, whose chain TLS has verified.
    pub client_certificate: Option<CertificateDer<'static>>,
    pub bearer_token: Option<String>,
    /// Who the token must be meant for; empty: the API server itself.
    pub audiences: Vec<String>,
}

#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Nothing: these credentials are not of the kind this authenticator judges. An error: they are, and
    /// they are no good.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<UserInfo>, ApiError>;
}
