//! Who may speak to the API, as flags that kube-apiserver has too.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration;

#[derive(Args)]
#[command(next_help_heading = "Authentication")]
pub struct Authentication {
    /// Whose tokens are believed, and which paths need none: a file with an apiserver.config.k8s.io/v1
    /// AuthenticationConfiguration, taken over whenever it changes [default: none]
    #[arg(long, value_name = "FILE")]
    pub authentication_config: Option<PathBuf>,
    /// Whether requests without credentials are let in everywhere (authorization then decides) or nowhere
    /// [default: for health and version alone]
    #[arg(long, value_name = "BOOL")]
    pub anonymous_auth: Option<bool>,
    /// Authorities that sign certificates of users besides the cluster's own; taken over whenever the file changes
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Tokens that are believed: a file of lines token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// What tokens of service accounts name that are for the API [default: the issuers]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub api_audiences: Vec<String>,
    #[command(flatten)]
    pub service_accounts: ServiceAccounts,
    #[command(flatten)]
    pub oidc: Oidc,
    #[command(flatten)]
    pub webhook: TokenWebhook,
    #[command(flatten)]
    pub request_header: RequestHeader,
}

#[derive(Args)]
pub struct ServiceAccounts {
    /// The key that signs tokens of service accounts, RSA or ECDSA over P-256, P-384 or P-521 [default: one of the
    /// cluster's own, which rotates]
    #[arg(long, value_name = "FILE")]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Keys by which tokens of service accounts are believed besides the one that signs; may be repeated
    #[arg(long, value_name = "FILE")]
    pub service_account_key_file: Vec<PathBuf>,
    /// Who issues tokens of service accounts, an https URL where others shall verify them; may be repeated: the first
    /// issues, all are believed [default: https://kubernetes.default.svc.cluster.local]
    #[arg(long, value_name = "URL")]
    pub service_account_issuer: Vec<String>,
    /// Where others find the keys that verify tokens of service accounts [default: at this server]
    #[arg(long, value_name = "URL")]
    pub service_account_jwks_uri: Option<String>,
    /// The longest life of a token that is asked for [default: any]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub service_account_max_token_expiration: Option<Duration>,
    /// Whether the tokens that pods are given hold for a year, for programs that do not read them again
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = true)]
    pub service_account_extend_token_expiration: bool,
}

/// One OpenID Connect issuer, for who needs no file for it.
#[derive(Args)]
pub struct Oidc {
    /// URL of an OpenID Connect issuer whose tokens are believed
    #[arg(long, value_name = "URL", requires = "oidc_client_id", conflicts_with = "authentication_config")]
    pub oidc_issuer_url: Option<String>,
    /// Whom the issuer's tokens must be meant for
    #[arg(long, value_name = "ID", requires = "oidc_issuer_url")]
    pub oidc_client_id: Option<String>,
    /// Authorities that vouch for the issuer [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "oidc_issuer_url")]
    pub oidc_ca_file: Option<PathBuf>,
    /// The claim that names the user
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    pub oidc_username_claim: String,
    /// Put before names of users; `-`: nothing [default: the issuer's URL and #, but for the claim email]
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub oidc_username_prefix: String,
    /// The claim that names the user's groups
    #[arg(long, value_name = "CLAIM", requires = "oidc_issuer_url")]
    pub oidc_groups_claim: Option<String>,
    /// Put before names of groups
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub oidc_groups_prefix: String,
    /// Algorithms that the issuer may sign with
    #[arg(long, value_name = "ALGORITHM", value_delimiter = ',', default_value = "RS256")]
    pub oidc_signing_algs: Vec<String>,
    /// Claims that tokens must have
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', requires = "oidc_issuer_url")]
    pub oidc_required_claim: Vec<String>,
}

#[derive(Args)]
pub struct TokenWebhook {
    /// A kubeconfig for the webhook that is asked whose tokens are
    #[arg(long, value_name = "FILE")]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    /// Version of the TokenReviews that are sent to it
    #[arg(long, value_name = "VERSION", default_value = "v1beta1")]
    pub authentication_token_webhook_version: String,
    /// How long its answers hold
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub authentication_token_webhook_cache_ttl: Duration,
}

/// Proxies that say for whom they speak.
#[derive(Args)]
pub struct RequestHeader {
    /// Authorities of proxies whose headers name users, taken over whenever the file changes [default: the cluster's own
    /// for its own proxy]
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of those proxies; none: all that the authorities vouch for
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "front-proxy-client")]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers that name the user; the first that is there counts
    #[arg(long, value_name = "HEADER", value_delimiter = ',', default_value = "X-Remote-User")]
    pub requestheader_username_headers: Vec<String>,
    /// Headers that tell the user's uid
    #[arg(long, value_name = "HEADER", value_delimiter = ',', default_value = "X-Remote-Uid")]
    pub requestheader_uid_headers: Vec<String>,
    /// Headers that name groups
    #[arg(long, value_name = "HEADER", value_delimiter = ',', default_value = "X-Remote-Group")]
    pub requestheader_group_headers: Vec<String>,
    /// What headers begin with that tell more of the user
    #[arg(long, value_name = "PREFIX", value_delimiter = ',', default_value = "X-Remote-Extra-")]
    pub requestheader_extra_headers_prefix: Vec<String>,
}
