//! Tokens of OpenID Connect issuers. (upstream: plugin/pkg/authenticator/token/oidc)
//!
//! An issuer is asked for its keys when its first token comes, so that the cluster starts without it, and an issuer
//! may run in the cluster.

pub mod config;
mod distributed;
mod keys;
mod mapping;
mod validate;

use async_trait::async_trait;
use machinery::UserInfo;
use machinery::field::{self, ErrorList};
use serde_json::Value;
use webhook::{Client, Trust};

use self::config::JwtAuthenticator;
use self::distributed::Resolver;
use self::keys::Keys;
use self::mapping::{Claims, Mapping};
use super::configured::ConfigError;
use super::{Authenticator, Credentials, Refused};
use crate::jwt::Token;
use crate::metrics::METRICS;
pub(crate) use validate::check_all;

/// Tokens count as valid so long before they say they are, for issuers whose clocks run ahead.
const NOT_BEFORE_LEEWAY: i64 = 5 * 60;

/// Believes the tokens of one issuer.
pub struct Issuer {
    url: String,
    audiences: Vec<String>,
    algorithms: Vec<&'static str>,
    keys: Keys,
    mapping: Mapping,
    groups: Option<Resolver>,
}

impl Issuer {
    /// The issuer, if nothing is wrong with its configuration. `own_issuers` are those of service account tokens.
    pub fn checked(
        config: &JwtAuthenticator,
        algorithms: &[&'static str],
        own_issuers: &[String],
    ) -> Result<Self, ConfigError> {
        let errors = check_all(std::slice::from_ref(config), own_issuers);
        if !errors.is_empty() {
            return Err(ConfigError::Invalid(field::aggregate(&errors)));
        }
        Self::new(config, algorithms).map_err(|errors| ConfigError::Invalid(field::aggregate(&errors)))
    }

    /// Of a configuration that was checked.
    pub(super) fn new(config: &JwtAuthenticator, algorithms: &[&'static str]) -> Result<Self, ErrorList> {
        let mapping = validate::compile(config)?;
        let issuer = &config.issuer;
        let trust = match issuer.certificate_authority.as_str() {
            "" => Trust::System,
            pem => Trust::Authorities(pem.to_owned()),
        };
        let client = Client::new(webhook::Config { trust, ..webhook::Config::default() });
        let client = client.map_err(|error| vec![validate::bad_authority(&error)])?;
        let resolver = |claim: &str| Resolver::new(client.clone(), claim, &issuer.audiences, algorithms);
        Ok(Self {
            groups: Some(config.claim_mappings.groups.claim.as_str()).filter(|claim| !claim.is_empty()).map(resolver),
            url: issuer.url.clone(),
            audiences: issuer.audiences.clone(),
            algorithms: algorithms.to_vec(),
            keys: Keys::new(client, &issuer.url, &issuer.discovery_url),
            mapping,
        })
    }

    /// The claims of a token of this issuer that holds now; nothing for a token of another.
    async fn claims(&self, token: &str) -> Result<Option<Claims>, String> {
        let Some(token) = Token::read(token).filter(|token| token.is_from(&self.url)) else { return Ok(None) };
        let verified = verify(&token, &self.audiences, &self.algorithms, &self.keys).await;
        verified.map_err(|why| match why.as_str() {
            "authenticator not initialized" => format!("oidc: {why}"),
            _ => format!("oidc: verify token: {why}"),
        })?;
        let mut claims = token.claims;
        if let Some(groups) = &self.groups {
            let expanded = groups.expand(&mut claims).await;
            expanded.map_err(|why| format!("oidc: could not expand distributed claims: {why}"))?;
        }
        Ok(Some(claims))
    }
}

/// Whether a token holds now, was meant for one of the audiences, and was signed by one of the keys.
async fn verify(token: &Token<'_>, audiences: &[String], algorithms: &[&str], keys: &Keys) -> Result<(), String> {
    check(&token.claims, audiences).map_err(|why| format!("oidc: {why}"))?;
    let algorithm = token.algorithm();
    if !algorithms.contains(&algorithm) {
        return Err(format!(
            "oidc: id token signed with unsupported algorithm, expected {algorithms:?} got {algorithm:?}"
        ));
    }
    keys.verify(token).await
}

fn check(claims: &Claims, audiences: &[String]) -> Result<(), String> {
    let meant = meant_for(claims);
    if !meant.iter().any(|of| audiences.iter().any(|own| own == of)) {
        return Err(format!("expected audience in {audiences:?} got {meant:?}"));
    }
    let now = clock::now().as_second();
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).map(|seconds| seconds as i64);
    match time("exp") {
        Some(end) if now <= end => {}
        end => return Err(format!("token is expired (Token Expiry: {})", shown_time(end.unwrap_or_default()))),
    }
    match time("nbf") {
        Some(start) if now + NOT_BEFORE_LEEWAY < start => {
            let (now, start) = (shown_time(now), shown_time(start));
            Err(format!("current time {now} before the nbf (not before) time: {start}"))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl Authenticator for Issuer {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let token = credentials.bearer_token.as_deref().filter(|_| credentials.for_api());
        let Some(token) = token else { return Ok(None) };
        let begun = clock::monotonic();
        let judged = async { self.claims(token).await?.map(|claims| self.mapping.user(claims)).transpose() }.await;
        if !matches!(judged, Ok(None)) {
            METRICS.token_judged(&self.url, judged.is_ok(), begun.elapsed());
        }
        judged.map_err(Refused)
    }
}

fn meant_for(claims: &Claims) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn shown_time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), clock::format_time)
}
