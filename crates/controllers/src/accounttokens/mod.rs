//! Tokens of service accounts that lie in Secrets: filled in, and cleaned up when nobody uses them.
//! (upstream: pkg/controller/serviceaccount/tokens_controller.go, legacy_serviceaccount_token_cleaner.go)

mod decide;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::error::{ApiErrorExt, ignore_not_found};
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches, meta, write};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tracing::{info, warn};

use decide::{ACCOUNT, Cleaning, Fill, INVALID_SINCE, TRACKING, Tokens, clean, fill};

const SELECTOR: &str = "type=kubernetes.io/service-account-token";
/// (upstream: DefaultCleanerSyncInterval)
const CLEAN_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Whose token a Secret is to hold.
pub struct Holder<'a> {
    pub namespace: &'a str,
    pub account: &'a str,
    pub account_uid: &'a str,
    pub secret: &'a str,
}

/// Makes a token for a Secret.
pub type Mint = Arc<dyn Fn(&Holder<'_>) -> Result<String, String> + Send + Sync>;

/// Fills in Secrets that ask for a token, and removes those whose account is gone.
pub struct TokensController {
    client: Client,
    mint: Mint,
    ca_pem: watch::Receiver<String>,
    secrets: Informer<Secret>,
    accounts: Informer<ServiceAccount>,
}

impl TokensController {
    pub fn new(shell: &Shell, mint: Mint, ca_pem: watch::Receiver<String>) -> Self {
        let secrets = shell.informers.select(SELECTOR, "");
        Self { client: shell.client(), mint, ca_pem, secrets, accounts: shell.informers.get() }
    }

    fn api(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Takes the Secret, which is gone, out of the accounts that name it.
    async fn forget(&self, key: &ObjectKey) -> Result<(), Error> {
        let names =
            |account: &ServiceAccount| account.secrets.iter().flatten().any(|of| of.name.as_deref() == Some(&key.name));
        let naming = self.accounts.list().into_iter();
        let naming: Vec<_> = naming
            .filter(|account| account.metadata.namespace.as_deref() == Some(&key.namespace) && names(account))
            .collect();
        if naming.is_empty() || self.api(&key.namespace).get_opt(&key.name).await?.is_some() {
            return Ok(());
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.namespace);
        for account in naming {
            let mut changed = (*account).clone();
            changed.secrets.iter_mut().for_each(|secrets| secrets.retain(|of| of.name.as_deref() != Some(&key.name)));
            let name = changed.metadata.name.clone().unwrap_or_default();
            ignore_not_found(accounts.replace(&name, &PostParams::default(), &changed).await)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Controller for TokensController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "serviceaccount_tokens_secret"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on_informer(&self.secrets, |change| [ObjectKey::of(&change.object().metadata)]);
        let secrets = self.secrets.clone();
        watches.on(move |change: &Change<ServiceAccount>| {
            let account = &change.object().metadata;
            let of = |secret: &Secret| {
                secret.metadata.namespace == account.namespace
                    && meta::annotation(&secret.metadata, ACCOUNT) == account.name.as_deref()
            };
            let secrets = secrets.list().into_iter().filter(|secret| of(secret));
            secrets.map(|secret| ObjectKey::of(&secret.metadata)).collect::<Vec<_>>()
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(secret) = self.secrets.get(key) else {
            self.forget(key).await?;
            return Ok(Requeue::No);
        };
        let account = meta::annotation(&secret.metadata, ACCOUNT).unwrap_or_default();
        let account = self.accounts.find(&key.namespace, account);
        let authorities = self.ca_pem.borrow().clone();
        match fill(&secret, account.as_deref(), &authorities, &self.mint) {
            Ok(Fill::Nothing) => {}
            Ok(Fill::Delete) => {
                write::delete_uid(&self.api(&key.namespace), &key.name, meta::uid(&secret.metadata), None).await?
            }
            Ok(Fill::Write(changed)) => {
                let written = self.api(&key.namespace).replace(&key.name, &PostParams::default(), &changed).await;
                ignore_not_found(written)?;
            }
            Err(error) => warn!(secret = %key, error, "no token is made for a Secret"),
        }
        Ok(Requeue::No)
    }
}

/// Marks tokens that nobody has used for long, and removes them when nobody does afterwards either.
pub struct LegacyTokenCleaner {
    client: Client,
    /// How long a token may go unused.
    period: Duration,
    secrets: Informer<Secret>,
    accounts: Informer<ServiceAccount>,
    pods: Informer<Pod>,
    tracking: Informer<ConfigMap>,
}

impl LegacyTokenCleaner {
    pub fn new(shell: &Shell, period: Duration) -> Self {
        let selector = format!("metadata.namespace=kube-system,metadata.name={TRACKING}");
        Self {
            client: shell.client(),
            period,
            secrets: shell.informers.select(SELECTOR, ""),
            accounts: shell.informers.get(),
            pods: shell.informers.get(),
            tracking: shell.informers.select(&selector, ""),
        }
    }
}

#[async_trait]
impl Controller for LegacyTokenCleaner {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "legacy-service-account-token-cleaner"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on_informer(&self.tracking, |change| [ObjectKey::of(&change.object().metadata)]);
        watches.needs(&self.secrets);
        watches.needs(&self.accounts);
        watches.needs(&self.pods);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(tracking) = self.tracking.get(key) else { return Ok(Requeue::No) };
        let (secrets, accounts, pods) = (self.secrets.list(), self.accounts.list(), self.pods.list());
        let tokens = Tokens { tracking: &tracking, secrets: &secrets, accounts: &accounts, pods: &pods };
        for (secret, cleaning) in clean(&tokens, self.period, clock::now()) {
            let (namespace, name) = (meta::namespace(&secret.metadata), meta::name(&secret.metadata));
            let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            let done = match cleaning {
                Cleaning::Invalidate(date) => {
                    info!(namespace, name, "Mark the auto-generated service account token as invalid");
                    let patch = json!({"metadata": {"labels": {INVALID_SINCE: date}}});
                    write::merge_uid(&api, name, meta::uid(&secret.metadata), patch).await.map(drop)
                }
                Cleaning::Delete => {
                    info!(namespace, name, "Delete auto-generated service account token");
                    let resource_version = secret.metadata.resource_version.clone();
                    let preconditions = Some(Preconditions { uid: None, resource_version });
                    api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await.map(drop)
                }
            };
            match done {
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                done => done?,
            }
        }
        Ok(Requeue::After(CLEAN_PERIOD))
    }
}
