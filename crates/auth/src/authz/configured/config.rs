//! AuthorizationConfiguration, as it is written, and what is wrong with it in upstream's words.
//! (upstream: apiserver/pkg/apis/apiserver/validation, .../v1/defaults.go)

use std::path::{Path, PathBuf};
use std::time::Duration;

use machinery::field::{self, Error, ErrorList};
use machinery::strconv::parse_duration;
use machinery::validation::dns1123_subdomain;
use serde::Deserialize;

use super::conditions::Conditions;

const VERSIONS: [&str; 3] =
    ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];
const TYPES: [&str; 6] = ["ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
pub const AUTHORIZED_TTL: Duration = Duration::from_secs(5 * 60);
pub const UNAUTHORIZED_TTL: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to load AuthorizationConfiguration from file: {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("failed to load AuthorizationConfiguration from file: {0}")]
    Syntax(String),
    #[error("invalid authorization configuration: {0}")]
    Invalid(String),
    #[error(transparent)]
    Policy(#[from] crate::authz::abac::PolicyError),
    #[error(transparent)]
    Kubeconfig(#[from] crate::kubeconfig::KubeconfigError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    api_version: String,
    kind: String,
    #[serde(default)]
    authorizers: Vec<WrittenAuthorizer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAuthorizer {
    #[serde(rename = "type", default)]
    of: String,
    #[serde(default)]
    name: String,
    webhook: Option<WrittenWebhook>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WrittenWebhook {
    #[serde(rename = "authorizedTTL")]
    authorized_ttl: Option<String>,
    #[serde(rename = "unauthorizedTTL")]
    unauthorized_ttl: Option<String>,
    cache_authorized_requests: Option<bool>,
    cache_unauthorized_requests: Option<bool>,
    timeout: Option<String>,
    subject_access_review_version: String,
    match_condition_subject_access_review_version: String,
    failure_policy: String,
    connection_info: ConnectionInfo,
    match_conditions: Vec<MatchCondition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ConnectionInfo {
    #[serde(rename = "type")]
    of: String,
    kube_config_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchCondition {
    #[serde(default)]
    expression: String,
}

/// One authorizer of a chain, and what it is called there.
pub struct Named {
    pub name: String,
    pub member: Member,
}

pub enum Member {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
    /// By this file.
    Abac(PathBuf),
    Webhook(WebhookOptions),
}

impl Member {
    /// As configurations and metrics call it.
    pub fn of(&self) -> &'static str {
        match self {
            Self::AlwaysAllow => "AlwaysAllow",
            Self::AlwaysDeny => "AlwaysDeny",
            Self::Node => "Node",
            Self::Rbac => "RBAC",
            Self::Abac(_) => "ABAC",
            Self::Webhook(_) => "Webhook",
        }
    }
}

/// A webhook that is asked.
pub struct WebhookOptions {
    pub kubeconfig: PathBuf,
    /// Of the SubjectAccessReviews that are sent: `v1` or `v1beta1`.
    pub version: String,
    /// How long answers hold; nothing: they are not remembered.
    pub authorized_ttl: Duration,
    pub unauthorized_ttl: Duration,
    pub timeout: Duration,
    /// Whether a failure denies, or is left to those who come after.
    pub failure_denies: bool,
    pub conditions: Conditions,
}

/// Reads a configuration; `policy` is the file for `ABAC`.
pub fn parse(text: &str, policy: Option<&Path>) -> Result<Vec<Named>, ConfigError> {
    let written: Written = serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
    if written.kind != "AuthorizationConfiguration" || !VERSIONS.contains(&written.api_version.as_str()) {
        let (kind, version) = (&written.kind, &written.api_version);
        return Err(ConfigError::Syntax(format!("no kind {kind:?} is registered for version {version:?}")));
    }
    let (members, errors) = read(&written.authorizers, policy);
    if !errors.is_empty() {
        return Err(ConfigError::Invalid(field::aggregate(&errors)));
    }
    // (upstream: pkg/kubeapiserver/authorizer)
    let misnamed = members.iter().filter_map(|Named { name, member }| {
        let (of, expected) = (member.of(), member.of().to_lowercase());
        let wrong = !matches!(member, Member::Webhook(_)) && *name != expected;
        wrong.then(|| format!("expected name {expected} for authorizer {of} instead of {name}"))
    });
    match crate::authz::aggregate(&misnamed.collect::<Vec<_>>()) {
        None => Ok(members),
        Some(why) => Err(ConfigError::Invalid(why)),
    }
}

/// A chain of modes as `--authorization-mode` names them, with the webhook for `Webhook` and the file for `ABAC`.
pub fn of_modes(
    modes: &[String],
    mut webhook: Option<WebhookOptions>,
    mut policy: Option<PathBuf>,
) -> Result<Vec<Named>, ConfigError> {
    let invalid = |why: String| Err(ConfigError::Invalid(why));
    if modes.is_empty() {
        return invalid("at least one authorization-mode must be passed".to_owned());
    }
    let mut members = Vec::new();
    for (at, mode) in modes.iter().enumerate() {
        if modes[..at].contains(mode) {
            return invalid(format!("authorization-mode {modes:?} has mode specified more than once"));
        }
        let member = match mode.as_str() {
            "AlwaysAllow" => Member::AlwaysAllow,
            "AlwaysDeny" => Member::AlwaysDeny,
            "Node" => Member::Node,
            "RBAC" => Member::Rbac,
            "ABAC" => match policy.take() {
                Some(policy) => Member::Abac(policy),
                None => return invalid("authorization-mode ABAC's authorization policy file not passed".to_owned()),
            },
            "Webhook" => match webhook.take() {
                Some(webhook) => Member::Webhook(webhook),
                None => {
                    let why = "authorization-mode Webhook's authorization config file not passed";
                    return invalid(why.to_owned());
                }
            },
            mode => return invalid(format!("authorization-mode {mode:?} is not a valid mode")),
        };
        // (upstream: getNameForAuthorizerMode)
        members.push(Named { name: mode.to_lowercase(), member });
    }
    match (webhook, policy) {
        (Some(_), _) => invalid("cannot specify --authorization-webhook-config-file without mode Webhook".to_owned()),
        (None, Some(_)) => invalid("cannot specify --authorization-policy-file without mode ABAC".to_owned()),
        (None, None) => Ok(members),
    }
}

fn read(written: &[WrittenAuthorizer], policy: Option<&Path>) -> (Vec<Named>, ErrorList) {
    let root = field::Path::new("authorizers");
    let mut errors = Vec::new();
    let mut members = Vec::new();
    if written.is_empty() {
        errors.push(Error::required(&root, "at least one authorization mode must be defined"));
    }
    for (at, authorizer) in written.iter().enumerate() {
        let (path, before) = (root.index(at), &written[..at]);
        let of = authorizer.of.as_str();
        let type_path = path.child("type");
        if of.is_empty() {
            errors.push(Error::required(&type_path, ""));
            continue;
        }
        if !TYPES.contains(&of) {
            errors.push(Error::not_supported(&type_path, of, &TYPES));
            continue;
        }
        if of != "Webhook" && before.iter().any(|earlier| earlier.of == of) {
            errors.push(Error::duplicate(&type_path, of));
            continue;
        }
        errors.extend(check_name(authorizer, before, &path.child("name")));
        let mut add = |member| members.push(Named { name: authorizer.name.clone(), member });
        match (of, &authorizer.webhook) {
            ("Webhook", None) => errors.push(Error::required(&path.child("webhook"), "required when type=Webhook")),
            ("Webhook", Some(webhook)) => read_webhook(webhook, &path, &mut errors).into_iter().for_each(add),
            (_, Some(_)) => {
                let why = "may only be specified when type=Webhook";
                errors.push(Error::invalid(&path.child("webhook"), "non-null", why));
            }
            ("AlwaysAllow", None) => add(Member::AlwaysAllow),
            ("AlwaysDeny", None) => add(Member::AlwaysDeny),
            ("Node", None) => add(Member::Node),
            // Without a file there is none to be read, which is told then.
            ("ABAC", None) => add(Member::Abac(policy.map(Path::to_owned).unwrap_or_default())),
            (_, None) => add(Member::Rbac),
        }
    }
    (members, errors)
}

fn check_name(authorizer: &WrittenAuthorizer, before: &[WrittenAuthorizer], path: &field::Path) -> Option<Error> {
    let name = authorizer.name.as_str();
    if name.is_empty() {
        return Some(Error::required(path, ""));
    }
    if before.iter().any(|earlier| earlier.name == name) {
        return Some(Error::duplicate(path, name));
    }
    let problems = dns1123_subdomain(name);
    let why = || format!("authorizer name is invalid: {}", problems.join(", "));
    (!problems.is_empty()).then(|| Error::invalid(path, name, why()))
}

/// Upstream's paths leave `webhook` out.
fn read_webhook(written: &WrittenWebhook, path: &field::Path, errors: &mut ErrorList) -> Option<Member> {
    let before = errors.len();
    let timeout = duration(written.timeout.as_deref(), &path.child("timeout"), errors);
    match timeout {
        None if written.timeout.is_none() => errors.push(Error::required(&path.child("timeout"), "")),
        Some(timeout) if timeout.is_zero() => errors.push(Error::required(&path.child("timeout"), "")),
        Some(timeout) if timeout > TIMEOUT_MAX => {
            let value = written.timeout.as_deref().unwrap_or_default();
            errors.push(Error::invalid(&path.child("timeout"), value, "must be > 0s and <= 30s"));
        }
        _ => {}
    }
    let authorized = duration(written.authorized_ttl.as_deref(), &path.child("authorizedTTL"), errors);
    let unauthorized = duration(written.unauthorized_ttl.as_deref(), &path.child("unauthorizedTTL"), errors);
    let one_of = |errors: &mut ErrorList, field: &str, value: &str, known: &[&str]| match value {
        "" => errors.push(Error::required(&path.child(field), "")),
        value if !known.contains(&value) => errors.push(Error::not_supported(&path.child(field), value, known)),
        _ => {}
    };
    let version = written.subject_access_review_version.as_str();
    one_of(errors, "subjectAccessReviewVersion", version, &["v1", "v1beta1"]);
    match written.match_condition_subject_access_review_version.as_str() {
        "v1" => {}
        "" if written.match_conditions.is_empty() => {}
        "" => {
            let why = "required if match conditions are specified";
            errors.push(Error::required(&path.child("matchConditionSubjectAccessReviewVersion"), why));
        }
        other => {
            let path = path.child("matchConditionSubjectAccessReviewVersion");
            errors.push(Error::not_supported(&path, other, &["v1"]));
        }
    }
    one_of(errors, "failurePolicy", &written.failure_policy, &["NoOpinion", "Deny"]);
    let kubeconfig = check_connection(&written.connection_info, &path.child("connectionInfo"), errors);
    let expressions: Vec<&str> = written.match_conditions.iter().map(|of| of.expression.as_str()).collect();
    let conditions = Conditions::compile(&expressions, &path.child("matchConditions"), errors);
    if errors.len() > before {
        return None;
    }
    let kept = |ttl: Option<Duration>, default, cached: Option<bool>| match cached {
        Some(false) => Duration::ZERO,
        _ => ttl.unwrap_or(default),
    };
    Some(Member::Webhook(WebhookOptions {
        kubeconfig: kubeconfig?,
        version: version.to_owned(),
        authorized_ttl: kept(authorized, AUTHORIZED_TTL, written.cache_authorized_requests),
        unauthorized_ttl: kept(unauthorized, UNAUTHORIZED_TTL, written.cache_unauthorized_requests),
        timeout: timeout?,
        failure_denies: written.failure_policy == "Deny",
        conditions,
    }))
}

fn duration(text: Option<&str>, path: &field::Path, errors: &mut ErrorList) -> Option<Duration> {
    let text = text?;
    let read = parse_duration(text);
    read.map_err(|_| errors.push(Error::invalid(path, text, "must be > 0s"))).ok()
}

fn check_connection(info: &ConnectionInfo, path: &field::Path, errors: &mut ErrorList) -> Option<PathBuf> {
    let file_path = path.child("kubeConfigFile");
    match (info.of.as_str(), info.kube_config_file.as_deref()) {
        ("", _) => errors.push(Error::required(&path.child("type"), "")),
        ("KubeConfigFile", None) => errors.push(Error::required(&file_path, "")),
        ("KubeConfigFile", Some(file)) => {
            let shown = file.display().to_string();
            let problem = match std::fs::metadata(file) {
                _ if !Path::is_absolute(file) => Some("must be an absolute path".to_owned()),
                Err(error) => Some(format!("error loading file: {error}")),
                Ok(of) if !of.is_file() => Some("must be a regular file".to_owned()),
                Ok(_) => None,
            };
            match problem {
                Some(why) => errors.push(Error::invalid(&file_path, shown, why)),
                None => return Some(file.to_owned()),
            }
        }
        (of, _) => errors.push(Error::not_supported(&path.child("type"), of, &["KubeConfigFile"])),
    }
    None
}
