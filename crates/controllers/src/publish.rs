//! What every namespace gets: the `default` service account and the cluster's CA.
//! (upstream: pkg/controller/serviceaccount, pkg/controller/certificates/rootcacertpublisher)

use std::collections::BTreeMap;

use async_trait::async_trait;
use control::error::{ApiErrorExt, ignore_already_exists};
use control::{CancellationToken, Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches, meta, pods};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;

const DEFAULT_ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the \
     internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes \
     clusters.";

fn is_live(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    !meta::is_terminating(&namespace.metadata) && phase != Some("Terminating")
}

fn live_namespace(change: &Change<Namespace>) -> Option<ObjectKey> {
    (!change.is_deletion() && is_live(change.object())).then(|| ObjectKey::of(&change.object().metadata))
}

/// A namespace may start to go away between our look and our write.
fn unless_terminating<T>(result: Result<T, kube::Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_namespace_terminating() || error.is_not_found() => Ok(()),
        other => other.map(|_| ()).map_err(Error::from),
    }
}

/// Keeps a service account `default` in each namespace.
pub struct ServiceAccountController {
    client: Client,
    namespaces: Informer<Namespace>,
    accounts: Informer<ServiceAccount>,
}

impl ServiceAccountController {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), namespaces: shell.informers.get(), accounts: shell.informers.get() }
    }
}

#[async_trait]
impl Controller for ServiceAccountController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "serviceaccount"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(live_namespace);
        watches.on(|change: &Change<ServiceAccount>| {
            let meta = &change.object().metadata;
            let ours = change.is_deletion() && meta.name.as_deref() == Some(DEFAULT_ACCOUNT);
            ours.then(|| ObjectKey::cluster(meta.namespace.as_deref().unwrap_or_default()))
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let live = self.namespaces.get(key).is_some_and(|namespace| is_live(&namespace));
        if !live || self.accounts.find(&key.name, DEFAULT_ACCOUNT).is_some() {
            return Ok(Requeue::No);
        }
        let metadata = ObjectMeta { name: Some(DEFAULT_ACCOUNT.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), &key.name);
        unless_terminating(ignore_already_exists(api.create(&PostParams::default(), &account).await))?;
        Ok(Requeue::No)
    }
}

/// Keeps the config map `kube-root-ca.crt` in each namespace.
pub struct RootCaController {
    client: Client,
    ca_pem: watch::Receiver<String>,
    shutdown: CancellationToken,
    namespaces: Informer<Namespace>,
    config_maps: Informer<ConfigMap>,
}

impl RootCaController {
    pub fn new(shell: &Shell, ca_pem: watch::Receiver<String>) -> Self {
        let config_maps = shell.informers.select(&format!("metadata.name={ROOT_CA}"), "");
        let (client, shutdown) = (shell.client(), shell.shutdown.clone());
        Self { client, ca_pem, shutdown, namespaces: shell.informers.get(), config_maps }
    }

    fn wanted(&self) -> ConfigMap {
        let description = ("kubernetes.io/description".to_owned(), ROOT_CA_DESCRIPTION.to_owned());
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(ROOT_CA.to_owned()),
                annotations: Some(BTreeMap::from([description])),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([("ca.crt".to_owned(), self.ca_pem.borrow().clone())])),
            ..ConfigMap::default()
        }
    }
}

#[async_trait]
impl Controller for RootCaController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "root_ca_cert_publisher"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(live_namespace);
        watches.on_informer(&self.config_maps, |change| {
            Some(ObjectKey::cluster(change.object().metadata.namespace.as_deref().unwrap_or_default()))
        });
        let (queue, namespaces, mut authorities) = (watches.queue(), self.namespaces.clone(), self.ca_pem.clone());
        let follow = async move {
            while authorities.changed().await.is_ok() {
                namespaces.list().iter().for_each(|namespace| queue.add(ObjectKey::of(&namespace.metadata)));
            }
        };
        tokio::spawn(self.shutdown.clone().run_until_cancelled_owned(follow));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        if !self.namespaces.get(key).is_some_and(|namespace| is_live(&namespace)) {
            return Ok(Requeue::No);
        }
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), &key.name);
        let wanted = self.wanted();
        match self.config_maps.find(&key.name, ROOT_CA) {
            None => unless_terminating(ignore_already_exists(api.create(&PostParams::default(), &wanted).await))?,
            Some(present) if present.data == wanted.data => {}
            Some(present) => {
                let changed = ConfigMap { data: wanted.data, ..(*present).clone() };
                unless_terminating(api.replace(ROOT_CA, &PostParams::default(), &changed).await)?;
            }
        }
        Ok(Requeue::No)
    }
}

/// Removes bootstrap tokens when they expire. (upstream: pkg/controller/bootstrap/tokencleaner.go)
pub struct TokenCleaner {
    client: Client,
    tokens: Informer<k8s_openapi::api::core::v1::Secret>,
}

impl TokenCleaner {
    pub fn new(shell: &Shell) -> Self {
        let tokens = shell.informers.select("metadata.namespace=kube-system,type=bootstrap.kubernetes.io/token", "");
        Self { client: shell.client(), tokens }
    }
}

/// When the token expires; nothing if never. One that cannot be read has expired.
fn expiry(secret: &k8s_openapi::api::core::v1::Secret) -> Option<jiff::Timestamp> {
    let text = secret.data.as_ref()?.get("expiration").filter(|text| !text.0.is_empty())?;
    let parsed = std::str::from_utf8(&text.0).ok().and_then(|text| text.parse().ok());
    Some(parsed.unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

#[async_trait]
impl Controller for TokenCleaner {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "token_cleaner"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on_informer(&self.tokens, |change| [ObjectKey::of(&change.object().metadata)]);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(secret) = self.tokens.get(key) else { return Ok(Requeue::No) };
        let Some(expiry) = expiry(&secret) else { return Ok(Requeue::No) };
        let left = pods::remaining(expiry, std::time::Duration::ZERO, clock::now());
        if !left.is_zero() {
            return Ok(Requeue::After(left));
        }
        let api = Api::<k8s_openapi::api::core::v1::Secret>::namespaced(self.client.clone(), &key.namespace);
        control::write::delete_uid(&api, &key.name, meta::uid(&secret.metadata), None).await?;
        Ok(Requeue::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;

    #[test]
    fn a_token_expires_when_it_says_so() {
        let token = |text: &str| Secret {
            data: Some(BTreeMap::from([("expiration".to_owned(), ByteString(text.into()))])),
            ..Secret::default()
        };
        assert_eq!(expiry(&token("2026-01-01T00:00:00Z")).map(|at| at.as_second()), Some(1_767_225_600));
        assert_eq!(expiry(&token("soon")), Some(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(expiry(&token("")), None);
        assert_eq!(expiry(&Secret::default()), None);
    }
}
