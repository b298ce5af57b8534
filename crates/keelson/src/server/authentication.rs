//! From flags to authenticators.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use auth::authn::oidc;
use auth::authn::oidc::config::{
    ClaimMappings, ClaimValidationRule, Issuer, JwtAuthenticator, PrefixedClaimOrExpression,
};
use auth::authn::webhook::Options;
use auth::authn::{
    Anonymous, AnonymousRequests, BootstrapTokens, ClientCertificates, Configured, HeaderNames, OrAnonymous,
    RequestHeaders, ServiceAccountTokens, TokenFile, Union, WebhookTokens,
};
use auth::jwt::ALGORITHMS;
use auth::tokens::{ISSUER, Terms, legacy};
use auth::{Authenticator, View};
use tokio::sync::mpsc;

use super::identity::Identities;
use crate::flags;

/// Seconds to which the life of tokens may be limited.
const TOKEN_SECONDS: RangeInclusive<u64> = 60 * 60..=1 << 32;

/// All that authenticates, and what must be followed for it.
pub struct Authentication {
    pub authenticator: Arc<dyn Authenticator>,
    pub configured: Option<Arc<Configured>>,
    /// Uses of tokens that lie in Secrets, to be written down.
    pub uses: mpsc::Receiver<legacy::Used>,
}

/// In upstream's order: proxies, certificates, tokens; what needs no other server comes first.
pub fn build(
    flags: &flags::Authentication,
    identities: &Identities,
    view: Arc<dyn View>,
) -> anyhow::Result<Authentication> {
    let issuer = identities.issuer.clone();
    let own_issuers = issuer.terms().issuers.clone();
    let anonymous = Arc::new(AnonymousRequests::new(match flags.anonymous_auth {
        None => Anonymous::Health,
        Some(true) => Anonymous::Everywhere,
        Some(false) => Anonymous::Nowhere,
    }));
    let proxies = RequestHeaders::new(
        identities.proxies.clone(),
        flags.request_header.requestheader_allowed_names.clone(),
        header_names(&flags.request_header),
    );
    let mut known: Vec<Arc<dyn Authenticator>> =
        vec![Arc::new(proxies), Arc::new(ClientCertificates::of(identities.users.clone()))];
    if let Some(path) = &flags.token_auth_file {
        known.push(Arc::new(TokenFile::read(path)?));
    }
    let (note, uses) = legacy::tracking();
    known.push(Arc::new(ServiceAccountTokens::new(view.clone(), issuer).with_tracking(note)));
    known.push(Arc::new(BootstrapTokens::new(view)));
    let configured = flags.authentication_config.as_deref();
    let configured =
        configured.map(|path| Configured::read(path, own_issuers.clone(), anonymous.clone())).transpose()?;
    known.extend(configured.iter().map(|configured| configured.clone() as Arc<dyn Authenticator>));
    if let Some(config) = of_flags(&flags.oidc)? {
        let algorithms = &flags.oidc.oidc_signing_algs;
        known.push(Arc::new(oidc::Issuer::checked(&config, &signing_algorithms(algorithms)?, &own_issuers)?));
    }
    if let Some(path) = &flags.webhook.authentication_token_webhook_config_file {
        let options = Options {
            version: flags.webhook.authentication_token_webhook_version.clone(),
            cache_ttl: flags.webhook.authentication_token_webhook_cache_ttl,
        };
        known.push(Arc::new(WebhookTokens::read(path, options)?));
    }
    let authenticator = Arc::new(OrAnonymous { known: Union(known), anonymous });
    Ok(Authentication { authenticator, configured, uses })
}

/// What the flags say of tokens of service accounts. (upstream: pkg/kubeapiserver/options)
pub fn terms(flags: &flags::Authentication) -> anyhow::Result<Terms> {
    let of = &flags.service_accounts;
    let is_url = |text: &str| text.parse::<http::Uri>().is_ok();
    for (at, issuer) in of.service_account_issuer.iter().enumerate() {
        ensure!(!issuer.is_empty(), "service-account-issuer should not be an empty string");
        let is_known = of.service_account_issuer[..at].contains(issuer);
        ensure!(!is_known, "service-account-issuer {issuer:?} is already specified");
        let is_wrong = issuer.contains(':') && !is_url(issuer);
        ensure!(!is_wrong, "service-account-issuer {issuer:?} contained a ':' but was not a valid URL");
    }
    if let Some(uri) = &of.service_account_jwks_uri {
        ensure!(is_url(uri), "service-account-jwks-uri must be a valid URL: {uri:?}");
        ensure!(uri.starts_with("https://"), "service-account-jwks-uri requires https scheme, parsed as: {uri}");
    }
    let max_seconds = of.service_account_max_token_expiration.map(|most| most.as_secs());
    let is_allowed = max_seconds.is_none_or(|most| TOKEN_SECONDS.contains(&most));
    ensure!(is_allowed, "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
    let mut terms = Terms::of(ISSUER);
    if !of.service_account_issuer.is_empty() {
        terms.issuers.clone_from(&of.service_account_issuer);
    }
    terms.audiences = if flags.api_audiences.is_empty() { &terms.issuers } else { &flags.api_audiences }.clone();
    terms.jwks_uri.clone_from(&of.service_account_jwks_uri);
    terms.max_seconds = max_seconds.map(|most| most as i64);
    terms.extended = of.service_account_extend_token_expiration;
    Ok(terms)
}

pub fn header_names(flags: &flags::RequestHeader) -> HeaderNames {
    let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect();
    HeaderNames {
        username: lower(&flags.requestheader_username_headers),
        uid: lower(&flags.requestheader_uid_headers),
        groups: lower(&flags.requestheader_group_headers),
        extra_prefixes: lower(&flags.requestheader_extra_headers_prefix),
    }
}

/// What the flags for one issuer say, as a configuration would. (upstream: pkg/kubeapiserver/options)
fn of_flags(flags: &flags::Oidc) -> anyhow::Result<Option<JwtAuthenticator>> {
    let Some((url, client)) = flags.oidc_issuer_url.clone().zip(flags.oidc_client_id.clone()) else { return Ok(None) };
    let prefix = match flags.oidc_username_prefix.as_str() {
        "-" => String::new(),
        "" if flags.oidc_username_claim != "email" => format!("{url}#"),
        prefix => prefix.to_owned(),
    };
    let claim = |claim: &str, prefix: String| PrefixedClaimOrExpression {
        claim: claim.to_owned(),
        prefix: Some(prefix),
        ..PrefixedClaimOrExpression::default()
    };
    let groups = flags.oidc_groups_claim.as_deref().map(|name| claim(name, flags.oidc_groups_prefix.clone()));
    let rules = flags.oidc_required_claim.iter().map(|pair| {
        let (name, value) =
            pair.split_once('=').with_context(|| format!("--oidc-required-claim: {pair} is no key=value"))?;
        let (claim, required_value) = (name.to_owned(), value.to_owned());
        anyhow::Ok(ClaimValidationRule { claim, required_value, ..ClaimValidationRule::default() })
    });
    Ok(Some(JwtAuthenticator {
        issuer: Issuer {
            url,
            audiences: vec![client],
            certificate_authority: flags.oidc_ca_file.as_deref().map_or_else(|| Ok(String::new()), read)?,
            ..Issuer::default()
        },
        claim_validation_rules: rules.collect::<Result<_, _>>()?,
        claim_mappings: ClaimMappings {
            username: claim(&flags.oidc_username_claim, prefix),
            groups: groups.unwrap_or_default(),
            ..ClaimMappings::default()
        },
        ..JwtAuthenticator::default()
    }))
}

fn signing_algorithms(names: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let mut algorithms = Vec::new();
    for name in names {
        let known = ALGORITHMS.into_iter().find(|algorithm| algorithm == name);
        ensure!(known.is_some(), "oidc: unsupported signing alg: {name:?}");
        algorithms.extend(known);
    }
    Ok(algorithms)
}

pub fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags::{Command, Flags};

    fn oidc(line: &str) -> Option<JwtAuthenticator> {
        let words = format!("keelson server --oidc-issuer-url https://a.test --oidc-client-id me {line}");
        let flags = Flags::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
        let Command::Server(server) = flags.command else { panic!("another command") };
        of_flags(&server.authentication.oidc).unwrap()
    }

    #[test]
    fn flags_for_an_issuer_mean_what_a_configuration_does() {
        let prefix = |line: &str| oidc(line).unwrap().claim_mappings.username.prefix.unwrap();
        assert_eq!(prefix(""), "https://a.test#");
        assert_eq!(prefix("--oidc-username-prefix=-"), "");
        assert_eq!(prefix("--oidc-username-claim email"), "");
        assert_eq!(prefix("--oidc-username-prefix x:"), "x:");
        let config = oidc("--oidc-groups-claim roles --oidc-required-claim a=b,c=d").unwrap();
        assert_eq!((config.claim_mappings.groups.claim.as_str(), config.claim_validation_rules.len()), ("roles", 2));
        assert_eq!(config.issuer.audiences, ["me"]);
        assert!(signing_algorithms(&["HS256".to_owned()]).is_err());
    }
}
