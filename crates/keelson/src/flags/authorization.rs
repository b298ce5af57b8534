//! Who may do what, as flags that kube-apiserver has too.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration;

#[derive(Args)]
#[command(next_help_heading = "Authorization")]
pub struct Authorization {
    /// Who decides what users may do: a file with an apiserver.config.k8s.io/v1 AuthorizationConfiguration, taken over
    /// whenever it changes [default: Node, then RBAC]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["authorization_mode", "authorization_webhook_config_file"])]
    pub authorization_config: Option<PathBuf>,
    /// Who decides, in order: AlwaysAllow, AlwaysDeny, Node, RBAC, ABAC, Webhook
    #[arg(long, value_name = "MODE", value_delimiter = ',', default_value = "Node,RBAC")]
    pub authorization_mode: Vec<String>,
    /// Policies of ABAC, by that mode or in an AuthorizationConfiguration: a file with an
    /// abac.authorization.kubernetes.io/v1beta1 Policy on each line
    #[arg(long, value_name = "FILE")]
    pub authorization_policy_file: Option<PathBuf>,
    /// A kubeconfig for the webhook of the mode Webhook
    #[arg(long, value_name = "FILE")]
    pub authorization_webhook_config_file: Option<PathBuf>,
    /// Version of the SubjectAccessReviews that are sent to it
    #[arg(long, value_name = "VERSION", default_value = "v1beta1")]
    pub authorization_webhook_version: String,
    /// How long it holds that something is allowed
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long it holds that something is not allowed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
}
