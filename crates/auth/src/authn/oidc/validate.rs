//! What is wrong with `jwt` of an AuthenticationConfiguration, in upstream's words, and what it compiles to.
//! (upstream: apiserver/pkg/apis/apiserver/validation)

use expression::{Environment, Type};
use http::Uri;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::dns1123_subdomain;

use super::config::{ClaimMappings, Issuer, JwtAuthenticator, PrefixedClaimOrExpression};
use super::mapping::{Mapping, Rule, Source, claims_environment, user_environment};

const AUTHENTICATORS_MAX: usize = 64;
const BOTH: &str = "claim and expression can't both be set";

/// Problems of all authenticators; `own_issuers` are those of service account tokens.
pub(crate) fn check_all(authenticators: &[JwtAuthenticator], own_issuers: &[String]) -> ErrorList {
    let root = Path::new("jwt");
    if authenticators.len() > AUTHENTICATORS_MAX {
        return vec![Error::too_many(&root, authenticators.len(), AUTHENTICATORS_MAX)];
    }
    let mut errors = Vec::new();
    for (at, authenticator) in authenticators.iter().enumerate() {
        let path = root.index(at).child("issuer");
        let issuer = &authenticator.issuer;
        errors.extend(check_issuer(issuer, own_issuers, &path));
        if let Err(problems) = compile_at(authenticator, &root.index(at)) {
            errors.extend(problems);
        }
        let before = &authenticators[..at];
        if before.iter().any(|of| of.issuer.url == issuer.url) {
            errors.push(Error::duplicate(&path.child("url"), issuer.url.as_str()));
        }
        let discovery = issuer.discovery_url.as_str();
        if !discovery.is_empty() && before.iter().any(|of| of.issuer.discovery_url == discovery) {
            errors.push(Error::duplicate(&path.child("discoveryURL"), discovery));
        }
    }
    errors
}

pub(super) fn compile(authenticator: &JwtAuthenticator) -> Result<Mapping, ErrorList> {
    compile_at(authenticator, &Path::root())
}

pub(super) fn bad_authority(error: &webhook::Error) -> Error {
    Error::invalid(&Path::new("issuer").child("certificateAuthority"), "<omitted>", error.to_string())
}

fn check_issuer(issuer: &Issuer, own_issuers: &[String], path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    match issuer.url.as_str() {
        "" => errors.push(Error::required(&path.child("url"), "")),
        url => errors.extend(check_url(url, own_issuers, &path.child("url"))),
    }
    if !issuer.discovery_url.is_empty() {
        let path = path.child("discoveryURL");
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        if !issuer.url.is_empty() && bare(&issuer.url) == bare(&issuer.discovery_url) {
            let why = "discoveryURL must be different from URL";
            errors.push(Error::invalid(&path, issuer.discovery_url.as_str(), why));
        }
        errors.extend(check_url(&issuer.discovery_url, &[], &path));
    }
    errors.extend(check_audiences(issuer, path));
    if !issuer.certificate_authority.is_empty() {
        let trust = webhook::Trust::Authorities(issuer.certificate_authority.clone());
        if let Err(error) = webhook::Client::new(webhook::Config { trust, ..webhook::Config::default() }) {
            errors.push(Error::invalid(&path.child("certificateAuthority"), "<omitted>", error.to_string()));
        }
    }
    if !issuer.egress_selector_type.is_empty() {
        let why = "egress selector is not supported";
        errors.push(Error::invalid(&path.child("egressSelectorType"), issuer.egress_selector_type.as_str(), why));
    }
    errors
}

fn check_url(url: &str, own_issuers: &[String], path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    let mut wrong = |why: String| errors.push(Error::invalid(path, url, why));
    if own_issuers.iter().any(|own| own == url) {
        wrong(format!("URL must not overlap with disallowed issuers: [{}]", own_issuers.join(" ")));
    }
    if url.parse::<Uri>().is_err() {
        wrong(format!("parse {url:?}: invalid URI for request"));
        return errors;
    }
    let rest = url.strip_prefix("https://");
    if rest.is_none() {
        wrong("URL scheme must be https".to_owned());
    }
    let rest = rest.or_else(|| url.split_once("://").map(|(_, rest)| rest)).unwrap_or(url);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        wrong("URL must not contain a username or password".to_owned());
    }
    let (before_fragment, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    if before_fragment.split_once('?').is_some_and(|(_, query)| !query.is_empty()) {
        wrong("URL must not contain a query".to_owned());
    }
    if !fragment.is_empty() {
        wrong("URL must not contain a fragment".to_owned());
    }
    errors
}

fn check_audiences(issuer: &Issuer, path: &Path) -> ErrorList {
    let (audiences, policy) = (&issuer.audiences, issuer.audience_match_policy.as_str());
    let field = path.child("audiences");
    if audiences.is_empty() {
        return vec![Error::required(&field, format!("at least one {field} is required"))];
    }
    let mut errors = Vec::new();
    for (at, audience) in audiences.iter().enumerate() {
        if audience.is_empty() {
            errors.push(Error::required(&field.index(at), ""));
        }
        if audiences[..at].contains(audience) {
            errors.push(Error::duplicate(&field.index(at), audience.as_str()));
        }
    }
    let why = match (audiences.len(), policy) {
        (_, "MatchAny") | (1, "") => return errors,
        (1, _) => "audienceMatchPolicy must be empty or MatchAny for single audience",
        _ => "audienceMatchPolicy must be MatchAny for multiple audiences",
    };
    errors.push(Error::invalid(&path.child("audienceMatchPolicy"), policy, why));
    errors
}

fn compile_at(authenticator: &JwtAuthenticator, path: &Path) -> Result<Mapping, ErrorList> {
    let mut compiler = Compiler { claims: claims_environment(), user: user_environment(), errors: Vec::new() };
    let mut mapping = Mapping::default();
    compiler.claim_rules(authenticator, &path.child("claimValidationRules"), &mut mapping);
    compiler.mappings(&authenticator.claim_mappings, &path.child("claimMappings"), &mut mapping);
    compiler.user_rules(authenticator, &path.child("userValidationRules"), &mut mapping);
    if compiler.errors.is_empty() { Ok(mapping) } else { Err(compiler.errors) }
}

struct Compiler {
    claims: Environment,
    user: Environment,
    errors: ErrorList,
}

impl Compiler {
    fn claim_rules(&mut self, authenticator: &JwtAuthenticator, path: &Path, mapping: &mut Mapping) {
        let rules = &authenticator.claim_validation_rules;
        for (at, rule) in rules.iter().enumerate() {
            let (path, before) = (path.index(at), &rules[..at]);
            match (rule.claim.as_str(), rule.expression.as_str()) {
                ("", "") => self.errors.push(Error::required(&path, "claim or expression is required")),
                (claim, "") => {
                    if !rule.message.is_empty() {
                        let why = "may not be specified when claim is set";
                        self.errors.push(Error::invalid(&path.child("message"), rule.message.as_str(), why));
                    }
                    if before.iter().any(|of| of.claim == claim) {
                        self.errors.push(Error::duplicate(&path.child("claim"), claim));
                    }
                    mapping.required.push((claim.to_owned(), rule.required_value.clone()));
                }
                ("", text) => {
                    if !rule.required_value.is_empty() {
                        let why = "may not be specified when expression is set";
                        let value = rule.required_value.as_str();
                        self.errors.push(Error::invalid(&path.child("requiredValue"), value, why));
                    }
                    let path = path.child("expression");
                    if before.iter().any(|of| of.expression == text) {
                        self.errors.push(Error::duplicate(&path, text));
                        continue;
                    }
                    let compiled = compile_rule(&self.claims, text, &rule.message, true, &path);
                    mapping.claim_rules.extend(self.keep(compiled));
                }
                (claim, _) => self.errors.push(Error::invalid(&path, claim, BOTH)),
            }
        }
    }

    fn mappings(&mut self, mappings: &ClaimMappings, path: &Path, mapping: &mut Mapping) {
        mapping.username = self.source(&mappings.username, &path.child("username"), true);
        mapping.groups = self.source(&mappings.groups, &path.child("groups"), false);
        mapping.uid = match (mappings.uid.claim.as_str(), mappings.uid.expression.as_str()) {
            ("", "") => None,
            (claim, "") => Some(Source::Claim { name: claim.to_owned(), prefix: String::new() }),
            ("", text) => {
                let compiled = compile_rule(&self.claims, text, "", false, &path.child("uid").child("expression"));
                self.keep(compiled).map(Source::Expression)
            }
            _ => {
                self.errors.push(Error::invalid(&path.child("uid"), "", BOTH));
                None
            }
        };
        self.extra(mappings, &path.child("extra"), mapping);
        self.check_email(mappings, path, mapping);
    }

    fn extra(&mut self, mappings: &ClaimMappings, path: &Path, mapping: &mut Mapping) {
        for (at, extra) in mappings.extra.iter().enumerate() {
            let (path, before) = (path.index(at), &mappings.extra[..at]);
            self.errors.extend(check_key(&extra.key, &path.child("key")));
            if before.iter().any(|of| of.key == extra.key) {
                self.errors.push(Error::duplicate(&path.child("key"), extra.key.as_str()));
                continue;
            }
            let path = path.child("valueExpression");
            if extra.value_expression.is_empty() {
                self.errors.push(Error::required(&path, ""));
                continue;
            }
            let compiled = compile_rule(&self.claims, &extra.value_expression, "", false, &path);
            mapping.extra.extend(self.keep(compiled).map(|rule| (extra.key.clone(), rule)));
        }
    }

    /// Who takes the address for the name must look at whether it was verified.
    fn check_email(&mut self, mappings: &ClaimMappings, path: &Path, mapping: &Mapping) {
        let Some(Source::Expression(username)) = &mapping.username else { return };
        let extra = mapping.extra.iter().map(|(_, rule)| rule);
        let mut rules = std::iter::once(username).chain(extra).chain(&mapping.claim_rules);
        let verified = rules.any(|rule| rule.program.selects("claims", "email_verified"));
        if username.program.selects("claims", "email") && !verified {
            let why = "claims.email_verified must be used in claimMappings.username.expression or \
                 claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is \
                 used in claimMappings.username.expression";
            let path = path.child("username").child("expression");
            self.errors.push(Error::invalid(&path, mappings.username.expression.as_str(), why));
        }
    }

    fn source(&mut self, from: &PrefixedClaimOrExpression, path: &Path, required: bool) -> Option<Source> {
        match (from.claim.as_str(), from.expression.as_str()) {
            ("", "") if required => {
                self.errors.push(Error::required(path, "claim or expression is required"));
                None
            }
            ("", "") => None,
            ("", text) => {
                if let Some(prefix) = &from.prefix {
                    let why = "may not be specified when expression is set";
                    self.errors.push(Error::invalid(&path.child("prefix"), prefix.as_str(), why));
                }
                let compiled = compile_rule(&self.claims, text, "", false, &path.child("expression"));
                self.keep(compiled).map(Source::Expression)
            }
            (claim, "") => {
                if from.prefix.is_none() {
                    let why = "prefix is required when claim is set. It can be set to an empty string to disable \
                               prefixing";
                    self.errors.push(Error::required(&path.child("prefix"), why));
                }
                Some(Source::Claim { name: claim.to_owned(), prefix: from.prefix.clone().unwrap_or_default() })
            }
            _ => {
                self.errors.push(Error::invalid(path, "", BOTH));
                None
            }
        }
    }

    fn user_rules(&mut self, authenticator: &JwtAuthenticator, path: &Path, mapping: &mut Mapping) {
        let rules = &authenticator.user_validation_rules;
        for (at, rule) in rules.iter().enumerate() {
            let path = path.index(at).child("expression");
            if rule.expression.is_empty() {
                self.errors.push(Error::required(&path, ""));
            } else if rules[..at].iter().any(|of| of.expression == rule.expression) {
                self.errors.push(Error::duplicate(&path, rule.expression.as_str()));
            } else {
                let compiled = compile_rule(&self.user, &rule.expression, &rule.message, true, &path);
                mapping.user_rules.extend(self.keep(compiled));
            }
        }
    }

    fn keep(&mut self, compiled: Result<Rule, Error>) -> Option<Rule> {
        compiled.map_err(|error| self.errors.push(error)).ok()
    }
}

fn compile_rule(
    environment: &Environment,
    text: &str,
    message: &str,
    condition: bool,
    path: &Path,
) -> Result<Rule, Error> {
    let program = environment.compile(text);
    let program = program.map_err(|error| Error::invalid(path, text, format!("compilation failed: {error}")))?;
    if condition && *program.result() != Type::Bool {
        return Err(Error::invalid(path, text, "must evaluate to bool"));
    }
    Ok(Rule { text: text.to_owned(), message: message.to_owned(), program })
}

fn check_key(key: &str, path: &Path) -> ErrorList {
    let mut errors = Vec::new();
    let (domain, rest) = key.split_once('/').unwrap_or((key, ""));
    if key.is_empty() {
        errors.push(Error::required(path, ""));
    } else if domain.is_empty() || rest.is_empty() {
        errors.push(Error::invalid(path, key, "must be a domain-prefixed path (such as \"acme.io/foo\")"));
    } else {
        let problems = dns1123_subdomain(domain).into_iter();
        errors.extend(problems.map(|why| Error::invalid(path, domain, why)));
    }
    if key != key.to_lowercase() {
        errors.push(Error::invalid(path, key, "must be lowercase"));
    }
    let reserved = |suffix: &str| domain == suffix || domain.ends_with(&format!(".{suffix}"));
    if key.contains('/') && (reserved("kubernetes.io") || reserved("k8s.io")) {
        let why = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
        errors.push(Error::invalid(path, key, why));
    }
    errors
}
