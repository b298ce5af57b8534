//! The keys of an issuer: found by discovery, fetched again when a token names one that is not known.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;
use webhook::Client;

use crate::jwt::{PublicKey, Token};
use crate::metrics::METRICS;

pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// Wait between two fetches: tokens with keys that do not exist cost strangers nothing.
const FETCH_PAUSE: Duration = Duration::from_secs(1);
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

pub(super) struct Keys {
    client: Client,
    issuer: String,
    discovery_url: String,
    known: ArcSwapOption<Vec<PublicKey>>,
    fetched: Mutex<Fetched>,
}

#[derive(Default)]
struct Fetched {
    jwks_url: Option<String>,
    at: Option<Instant>,
}

impl Keys {
    /// Nothing is fetched yet. An empty `discovery_url` is the issuer's own.
    pub fn new(client: Client, issuer: &str, discovery_url: &str) -> Self {
        let discovery_url = match discovery_url {
            "" => format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/')),
            url => url.to_owned(),
        };
        let (known, fetched) = (ArcSwapOption::default(), Mutex::default());
        Self { client, issuer: issuer.to_owned(), discovery_url, known, fetched }
    }

    /// Whether one of the issuer's keys signed the token.
    pub async fn verify(&self, token: &Token<'_>) -> Result<(), String> {
        let known = self.known.load_full();
        if known.as_ref().is_some_and(|keys| signed_by(keys, token)) {
            return Ok(());
        }
        let keys = self.fetch(known).await?;
        let failed = "failed to verify signature: failed to verify id token signature";
        if signed_by(&keys, token) { Ok(()) } else { Err(failed.to_owned()) }
    }

    /// The issuer's keys of now, or those of a moment ago. `seen` did not do.
    async fn fetch(&self, seen: Option<Arc<Vec<PublicKey>>>) -> Result<Arc<Vec<PublicKey>>, String> {
        let mut fetched = self.fetched.lock().await;
        let known = self.known.load_full();
        let newer = match (&known, &seen) {
            (Some(known), Some(seen)) => !Arc::ptr_eq(known, seen),
            (known, _) => known.is_some(),
        };
        let paused = fetched.at.is_some_and(|at| clock::monotonic() < at + FETCH_PAUSE);
        match known {
            Some(known) if newer || paused => return Ok(known),
            None if paused => return Err("authenticator not initialized".to_owned()),
            _ => {}
        }
        fetched.at = Some(clock::monotonic());
        let outcome = self.fetch_by(&mut fetched.jwks_url).await;
        // Those who waited meanwhile take what came of it: they do not ask an issuer that hangs one after the other.
        fetched.at = Some(clock::monotonic());
        METRICS.fetched_keys(&self.issuer, outcome.is_ok());
        let keys = outcome.inspect_err(|error| {
            tracing::error!(error, issuer = self.issuer, "keys of the token issuer are not to be had")
        })?;
        let keys = Arc::new(keys);
        self.known.store(Some(keys.clone()));
        Ok(keys)
    }

    async fn fetch_by(&self, jwks_url: &mut Option<String>) -> Result<Vec<PublicKey>, String> {
        let url = match jwks_url {
            Some(url) => url.clone(),
            None => jwks_url.insert(self.discover().await?).clone(),
        };
        let keys = self.client.get_json(&url, TIMEOUT).await;
        let keys = keys.map_err(|error| format!("fetching keys oidc: get keys failed {error}"))?;
        METRICS.key_set(&self.issuer, &keys);
        // Keys of kinds that are not known here are left out.
        let keys = keys["keys"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(keys.iter().cloned().filter_map(PublicKey::from_jwk).collect())
    }

    async fn discover(&self) -> Result<String, String> {
        let document = self.client.get_json(&self.discovery_url, TIMEOUT).await.map_err(|error| error.to_string())?;
        let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
        let found = text("issuer");
        if found != self.issuer {
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {:?} got {found:?}",
                self.issuer
            ));
        }
        match text("jwks_uri") {
            url if url.is_empty() => Err("provider did not return JWKS URL".to_owned()),
            url => Ok(url),
        }
    }
}

fn signed_by(keys: &[PublicKey], token: &Token<'_>) -> bool {
    keys.iter().filter(|key| token.may_be_signed_by(key)).any(|key| key.signed(token, token.algorithm()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_hangs_is_waited_for_once() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("https://{}", silent.local_addr().unwrap());
        let keys = Keys::new(Client::new(webhook::Config::default()).unwrap(), &issuer, "");
        let token = Token::read("eyJhbGciOiJFUzI1NiJ9.e30.x").unwrap();
        let asking = futures::future::join_all((0..10).map(|_| keys.verify(&token)));
        let told = tokio::time::timeout(2 * TIMEOUT, asking).await.unwrap();
        let told: Vec<String> = told.into_iter().map(|verified| verified.unwrap_err()).collect();
        assert!(told[1..].iter().all(|why| why == "authenticator not initialized"), "{told:?}");
    }
}
