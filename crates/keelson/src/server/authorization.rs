//! From flags to the chain of authorizers.

use std::sync::Arc;
use std::time::Duration;

use auth::View;
use auth::authz::configured::conditions::Conditions;
use auth::authz::configured::config::{self, WebhookOptions};
use auth::authz::{Chain, Rbac};

use crate::flags;

/// How long a webhook that flags name may take. (upstream: apiserver/pkg/server/options/authorization.go)
const TIMEOUT: Duration = Duration::from_secs(30);

pub fn build(flags: &flags::Authorization, view: Arc<dyn View>, rbac: Arc<Rbac>) -> anyhow::Result<Arc<Chain>> {
    if let Some(path) = &flags.authorization_config {
        return Ok(Chain::read(path, flags.authorization_policy_file.clone(), view, rbac)?);
    }
    let webhook = flags.authorization_webhook_config_file.clone().map(|kubeconfig| WebhookOptions {
        kubeconfig,
        version: flags.authorization_webhook_version.clone(),
        authorized_ttl: flags.authorization_webhook_cache_authorized_ttl,
        unauthorized_ttl: flags.authorization_webhook_cache_unauthorized_ttl,
        timeout: TIMEOUT,
        failure_denies: false,
        conditions: Conditions::default(),
    });
    let members = config::of_modes(&flags.authorization_mode, webhook, flags.authorization_policy_file.clone())?;
    Ok(Chain::new(members, view, rbac)?)
}
