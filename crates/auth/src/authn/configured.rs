//! Authenticators of an AuthenticationConfiguration, taken over whenever its file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use machinery::UserInfo;
use machinery::field::{self, Error, ErrorList};
use serde::Deserialize;
use serde_json::json;

use super::oidc::config::JwtAuthenticator;
use super::oidc::{self, Issuer};
use super::{Anonymous, AnonymousRequests, Authenticator, Credentials, Refused};
use crate::jwt::ALGORITHMS;
use crate::metrics::METRICS;

const VERSIONS: [&str; 3] =
    ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read authentication configuration: {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("failed to decode authentication configuration: {0}")]
    Syntax(String),
    #[error("invalid authentication configuration: {0}")]
    Invalid(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    api_version: String,
    kind: String,
    #[serde(default)]
    jwt: Vec<JwtAuthenticator>,
    anonymous: Option<WrittenAnonymous>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAnonymous {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    path: String,
}

/// What a configuration comes to.
struct Rules {
    issuers: Vec<Issuer>,
    anonymous: Option<Anonymous>,
}

/// Believes the issuers that a file names.
pub struct Configured {
    path: PathBuf,
    /// Issuers of service account tokens, whose names no other may bear.
    own_issuers: Vec<String>,
    /// What the file said when it was taken over.
    text: ArcSwap<String>,
    issuers: ArcSwap<Vec<Issuer>>,
    anonymous: Arc<AnonymousRequests>,
}

impl Configured {
    /// Reads the file. What it says of anonymous requests goes to `anonymous`.
    pub fn read(
        path: &Path,
        own_issuers: Vec<String>,
        anonymous: Arc<AnonymousRequests>,
    ) -> Result<Arc<Self>, ConfigError> {
        let (text, issuers) = (ArcSwap::default(), ArcSwap::default());
        let configured = Arc::new(Self { path: path.to_owned(), own_issuers, text, issuers, anonymous });
        configured.reload()?;
        Ok(configured)
    }

    /// Takes over what the file says whenever it changes. Runs until it is dropped, which is safe.
    pub async fn follow(self: Arc<Self>) {
        let reload = || {
            let reloaded = self.reload();
            METRICS.authentication.reloaded(&reloaded);
            if let Err(error) = reloaded {
                tracing::error!(%error, "the authentication configuration stays as it was");
            }
        };
        files::follow(&[&self.path], reload).await;
    }

    /// Answers whether something was taken over.
    fn reload(&self) -> Result<bool, ConfigError> {
        let text = std::fs::read_to_string(&self.path);
        let text = text.map_err(|source| ConfigError::File { path: self.path.clone(), source })?;
        if **self.text.load() == *text {
            return Ok(false);
        }
        let rules = parse(&text, &self.own_issuers)?;
        self.issuers.store(Arc::new(rules.issuers));
        if let Some(rule) = rules.anonymous {
            self.anonymous.set(rule);
        }
        METRICS.authentication.in_use(&text);
        self.text.store(Arc::new(text));
        Ok(true)
    }
}

#[async_trait]
impl Authenticator for Configured {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<UserInfo>, Refused> {
        let mut refused = None;
        for issuer in self.issuers.load_full().iter() {
            match issuer.authenticate(credentials).await {
                Ok(None) => {}
                Ok(user) => return Ok(user),
                Err(why) => refused = Some(why),
            }
        }
        refused.map_or(Ok(None), Err)
    }
}

fn parse(text: &str, own_issuers: &[String]) -> Result<Rules, ConfigError> {
    let written: Written = serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
    if written.kind != "AuthenticationConfiguration" || !VERSIONS.contains(&written.api_version.as_str()) {
        let (kind, version) = (&written.kind, &written.api_version);
        return Err(ConfigError::Syntax(format!("no kind {kind:?} is registered for version {version:?}")));
    }
    let mut errors = oidc::check_all(&written.jwt, own_issuers);
    let anonymous = written.anonymous.map(|of| anonymous(&of, &mut errors));
    if !errors.is_empty() {
        return Err(ConfigError::Invalid(field::aggregate(&errors)));
    }
    let issuers: Result<_, _> = written.jwt.iter().map(|config| Issuer::new(config, &ALGORITHMS)).collect();
    let issuers = issuers.map_err(|errors: ErrorList| ConfigError::Invalid(field::aggregate(&errors)))?;
    Ok(Rules { issuers, anonymous })
}

fn anonymous(written: &WrittenAnonymous, errors: &mut ErrorList) -> Anonymous {
    match (written.enabled, written.conditions.as_slice()) {
        (true, []) => Anonymous::Everywhere,
        (true, conditions) => Anonymous::At(conditions.iter().map(|of| of.path.clone()).collect()),
        (false, []) => Anonymous::Nowhere,
        (false, conditions) => {
            let path = field::Path::new("anonymous").child("conditions");
            let value: Vec<_> = conditions.iter().map(|of| json!({"path": of.path})).collect();
            let why = "enabled should be set to true when conditions are defined";
            errors.push(Error::invalid(&path, value, why));
            Anonymous::Nowhere
        }
    }
}
