//! The keys of an issuer: found by discovery, fetched again when a token names one that is not known.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use webhook::Client;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Wait between two fetches: tokens with keys that do not exist cost strangers nothing.
const FETCH_PAUSE: Duration = Duration::from_secs(1);
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

pub(super) struct Keys {
    client: Client,
    issuer: String,
    discovery_url: String,
    known: ArcSwapOption<JwkSet>,
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

    /// Whether one of the issuer's keys signed the token, whose header this is.
    pub async fn verify(&self, token: &str, header: &Header) -> Result<(), String> {
        let known = self.known.load_full();
        if known.as_ref().is_some_and(|keys| signed_by(keys, token, header)) {
            return Ok(());
        }
        let keys = self.fetch(known).await?;
        let failed = "failed to verify signature: failed to verify id token signature";
        if signed_by(&keys, token, header) { Ok(()) } else { Err(failed.to_owned()) }
    }

    /// The issuer's keys of now, or those of a moment ago. `seen` did not do.
    async fn fetch(&self, seen: Option<Arc<JwkSet>>) -> Result<Arc<JwkSet>, String> {
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
        let keys = outcome.inspect_err(|error| {
            tracing::error!(error, issuer = self.issuer, "keys of the token issuer are not to be had")
        })?;
        let keys = Arc::new(keys);
        self.known.store(Some(keys.clone()));
        Ok(keys)
    }

    async fn fetch_by(&self, jwks_url: &mut Option<String>) -> Result<JwkSet, String> {
        let url = match jwks_url {
            Some(url) => url.clone(),
            None => jwks_url.insert(self.discover().await?).clone(),
        };
        let keys = self.client.get_json(&url, TIMEOUT).await;
        let keys = keys.map_err(|error| format!("fetching keys oidc: get keys failed {error}"))?;
        Ok(JwkSet { keys: readable(&keys) })
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

/// Keys of kinds that are not known here are left out.
fn readable(document: &Value) -> Vec<Jwk> {
    let keys = document["keys"].as_array().map_or(&[][..], Vec::as_slice);
    keys.iter().filter_map(|key| serde_json::from_value(key.clone()).ok()).collect()
}

fn signed_by(keys: &JwkSet, token: &str, header: &Header) -> bool {
    let named = |key: &&Jwk| header.kid.is_none() || key.common.key_id == header.kid;
    let signs = |key: &&Jwk| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
    keys.keys.iter().filter(named).filter(signs).any(|key| signed_by_key(key, token, header.alg))
}

fn signed_by_key(key: &Jwk, token: &str, algorithm: Algorithm) -> bool {
    let meant = key.common.key_algorithm.is_none_or(|of| of.to_string() == format!("{algorithm:?}"));
    let Ok(key) = DecodingKey::from_jwk(key) else { return false };
    // Everything but the signature is for the caller to judge.
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    meant && jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok()
}
