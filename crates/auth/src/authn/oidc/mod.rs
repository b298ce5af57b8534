//! Tokens of OpenID Connect issuers. (upstream: plugin/pkg/authenticator/token/oidc)
//!
//! An issuer is asked for its keys when its first token comes, so that the cluster starts without it, and an issuer
//! may run in the cluster.

pub mod config;
mod keys;
mod mapping;
mod validate;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::Header;
use machinery::UserInfo;
use machinery::field::{self, ErrorList};
use serde_json::Value;
use webhook::{Client, Trust};

use self::config::JwtAuthenticator;
use self::keys::Keys;
use self::mapping::{Claims, Mapping};
use super::configured::ConfigError;
use super::{Authenticator, Credentials, Refused};
pub(crate) use validate::check_all;

/// Tokens count as valid so long before they say they are, for issuers whose clocks run ahead.
const NOT_BEFORE_LEEWAY: i64 = 5 * 60;

/// Algorithms that issuers may sign with, of those that upstream allows; it knows ES512 besides.
pub const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Believes the tokens of one issuer.
pub struct Issuer {
    url: String,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    keys: Keys,
    mapping: Mapping,
}

impl Issuer {
    /// The issuer, if nothing is wrong with its configuration. `own_issuers` are those of service account tokens.
    pub fn checked(
        config: &JwtAuthenticator,
        algorithms: &[Algorithm],
        own_issuers: &[String],
    ) -> Result<Self, ConfigError> {
        let errors = check_all(std::slice::from_ref(config), own_issuers);
        if !errors.is_empty() {
            return Err(ConfigError::Invalid(field::aggregate(&errors)));
        }
        Self::new(config, algorithms).map_err(|errors| ConfigError::Invalid(field::aggregate(&errors)))
    }

    /// Of a configuration that was checked.
    pub(super) fn new(config: &JwtAuthenticator, algorithms: &[Algorithm]) -> Result<Self, ErrorList> {
        let mapping = validate::compile(config)?;
        let issuer = &config.issuer;
        let trust = match issuer.certificate_authority.as_str() {
            "" => Trust::System,
            pem => Trust::Authorities(pem.to_owned()),
        };
        let client = Client::new(webhook::Config { trust, ..webhook::Config::default() });
        let client = client.map_err(|error| vec![validate::bad_authority(&error)])?;
        Ok(Self {
            url: issuer.url.clone(),
            audiences: issuer.audiences.clone(),
            algorithms: algorithms.to_vec(),
            keys: Keys::new(client, &issuer.url, &issuer.discovery_url),
            mapping,
        })
    }

    /// The claims of a token of this issuer that holds now; nothing for a token of another.
    async fn claims(&self, token: &str) -> Result<Option<Claims>, String> {
        let Some((header, claims)) = untrusted(token) else { return Ok(None) };
        if claims.get("iss").and_then(Value::as_str) != Some(&self.url) {
            return Ok(None);
        }
        self.check(&claims).map_err(|why| format!("oidc: verify token: oidc: {why}"))?;
        let header = self.header(&header).map_err(|why| format!("oidc: verify token: oidc: {why}"))?;
        self.keys.verify(token, &header).await.map_err(|why| match why.as_str() {
            "authenticator not initialized" => format!("oidc: {why}"),
            _ => format!("oidc: verify token: {why}"),
        })?;
        Ok(Some(claims))
    }

    fn check(&self, claims: &Claims) -> Result<(), String> {
        let meant = audiences(claims);
        if !meant.iter().any(|of| self.audiences.iter().any(|own| own == of)) {
            return Err(format!("expected audience in {:?} got {meant:?}", self.audiences));
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

    /// A header that is well formed and names an algorithm that the issuer may use.
    fn header(&self, header: &Value) -> Result<Header, String> {
        let got = header["alg"].as_str().unwrap_or_default();
        if !self.algorithms.iter().any(|known| format!("{known:?}") == got) {
            let expected: Vec<String> = self.algorithms.iter().map(|known| format!("{known:?}")).collect();
            return Err(format!("id token signed with unsupported algorithm, expected {expected:?} got {got:?}"));
        }
        serde_json::from_value(header.clone()).map_err(|error| format!("malformed jwt: {error}"))
    }
}

#[async_trait]
impl Authenticator for Issuer {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let token = credentials.bearer_token.as_deref().filter(|_| credentials.for_api());
        let Some(token) = token else { return Ok(None) };
        let Some(claims) = self.claims(token).await.map_err(Refused)? else { return Ok(None) };
        self.mapping.user(claims).map(Some).map_err(Refused)
    }
}

/// Header and claims of what looks like a token, not to be believed.
fn untrusted(token: &str) -> Option<(Value, Claims)> {
    let mut parts = token.split('.');
    let (header, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    Some((serde_json::from_slice(&decoded(header)?).ok()?, serde_json::from_slice(&decoded(claims)?).ok()?))
}

fn audiences(claims: &Claims) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn shown_time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), clock::format_time)
}
