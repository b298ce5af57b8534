//! Claims that another address tells. (upstream: plugin/pkg/authenticator/token/oidc, claimResolver; OpenID Connect Core
//! 1.0, section 5.6.2)

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use serde_json::Value;
use webhook::Client;

use super::keys::{Keys, TIMEOUT};
use super::mapping::Claims;
use super::verify;
use crate::jwt::Token;

/// Issuers of such claims that are remembered at most; the memory starts anew when it is full.
const ISSUERS_MAX: usize = 100;

/// Finds one claim where a token names an address instead of it.
pub(super) struct Resolver {
    client: Client,
    claim: String,
    audiences: Vec<String>,
    algorithms: Vec<&'static str>,
    issuers: Mutex<HashMap<String, Arc<Keys>>>,
}

impl Resolver {
    pub fn new(client: Client, claim: &str, audiences: &[String], algorithms: &[&'static str]) -> Self {
        let (audiences, algorithms) = (audiences.to_vec(), algorithms.to_vec());
        Self { client, claim: claim.to_owned(), audiences, algorithms, issuers: Mutex::default() }
    }

    /// Puts the claim among `claims`, if they tell where it is.
    pub async fn expand(&self, claims: &mut Claims) -> Result<(), String> {
        let Some((url, access_token)) = self.endpoint(claims)? else { return Ok(()) };
        let claim = &self.claim;
        let text = self.fetch(&url, &access_token).await;
        let text = text.map_err(|why| format!("while getting distributed claim {claim:?}: {why}"))?;
        let token = Token::read(&text).filter(|token| token.claims.get("iss").is_some_and(Value::is_string));
        let token = token.ok_or_else(|| {
            format!("getting untrusted issuer from endpoint {url} failed for claim {claim:?}: malformed token")
        })?;
        let issuer = token.claims["iss"].as_str().unwrap_or_default();
        let keys = self.keys(issuer);
        let verified = verify(&token, &self.audiences, &self.algorithms, &keys).await;
        verified.map_err(|why| format!("verify distributed claim token: {why}"))?;
        let value = token.claims.get(claim).ok_or_else(|| {
            format!("jwt returned by distributed claim endpoint {url:?} did not contain claim: {claim}")
        })?;
        claims.insert(claim.clone(), value.clone());
        Ok(())
    }

    /// Where the claim is, and what lets one read it.
    fn endpoint(&self, claims: &Claims) -> Result<Option<(String, String)>, String> {
        if claims.contains_key(&self.claim) {
            return Ok(None);
        }
        let Some(names) = claims.get("_claim_names") else { return Ok(None) };
        let names: HashMap<String, String> = serde_json::from_value(names.clone())
            .map_err(|error| format!("oidc: error parsing distributed claim names: {error}"))?;
        let sources = claims.get("_claim_sources").ok_or("oidc: no claim sources")?;
        let sources: HashMap<String, Value> = serde_json::from_value(sources.clone())
            .map_err(|error| format!("oidc: could not parse claim sources: {error}"))?;
        let Some(source) = names.get(&self.claim) else { return Ok(None) };
        let Some(endpoint) = sources.get(source) else {
            return Err(format!("id token _claim_names contained a source {source} missing in _claims_sources"));
        };
        let text = |field: &str| endpoint[field].as_str().unwrap_or_default().to_owned();
        // Without an address the claim may be aggregated, which is not asked for.
        Ok(Some((text("endpoint"), text("access_token"))).filter(|(url, _)| !url.is_empty()))
    }

    async fn fetch(&self, url: &str, access_token: &str) -> Result<String, String> {
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/jwt, */*"))]);
        if !access_token.is_empty() {
            let value = HeaderValue::from_str(&format!("Bearer {access_token}"));
            headers.insert(AUTHORIZATION, value.map_err(|_| format!("while calling {url}: malformed access token"))?);
        }
        let answer = self.client.get(url, headers, TIMEOUT).await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("error while getting distributed claim JWT: {}", answer.status()));
        }
        let text = std::str::from_utf8(answer.body()).map_err(|_| "could not decode distributed claim response")?;
        Ok(text.trim().to_owned())
    }

    fn keys(&self, issuer: &str) -> Arc<Keys> {
        let mut issuers = self.issuers.lock();
        if issuers.len() >= ISSUERS_MAX {
            issuers.clear();
        }
        let made = || Arc::new(Keys::new(self.client.clone(), issuer, ""));
        issuers.entry(issuer.to_owned()).or_insert_with(made).clone()
    }
}
