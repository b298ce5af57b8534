//! The certificates of a node that joined, asked for anew in time and when the authority is another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth::csr;
use auth::pki::{self, LeafSpec};
use auth::rotation::until;
use auth::tls::Identity;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};

use super::client::Connections;
use super::join::{AUTHORITIES, CLIENT, Entry, SERVING, obtain};
use crate::cluster;

/// The longest sleep: a machine that sleeps does not feel the time pass.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// What a node shows to the server, and to those who call it.
pub struct Renewal {
    pub client: kube::Client,
    pub connections: Connections,
    /// How the node comes in when its certificate has ended, as that of a machine that slept has.
    pub entry: Entry,
    /// Where both are kept.
    pub directory: PathBuf,
    pub node: String,
    /// The certificate by which the server knows the node.
    pub own: String,
    /// That of the node's own API; nothing before the cluster has signed one.
    pub serving: Option<String>,
    pub serving_spec: LeafSpec,
    pub identity: Arc<Identity>,
}

impl Renewal {
    /// Runs until it is dropped, which is safe.
    pub async fn run(mut self) {
        let configs: Api<ConfigMap> = Api::namespaced(self.client.clone(), cluster::RANGES_NAMESPACE);
        let mut told = watcher::watch_object(configs, cluster::RANGES).default_backoff().boxed();
        loop {
            let wait = match self.renew().await {
                Ok(()) => self.due().min(SLEEP_MAX),
                Err(error) => {
                    tracing::error!(%error, "a certificate of the node can not be renewed");
                    RETRY
                }
            };
            tokio::select! {
                // What fails is tried again by the stream itself, after a while.
                Some(told) = told.next() => {
                    let config = told.ok().flatten().and_then(|config| config.data);
                    let authorities = config.and_then(|mut data| data.remove(cluster::AUTHORITIES));
                    if let Err(error) = authorities.map_or(Ok(()), |authorities| self.trust(authorities)) {
                        tracing::error!(%error, "the cluster's authorities can not be taken over");
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn trust(&self, authorities: String) -> anyhow::Result<()> {
        let known = self.entry.trust.pem();
        if authorities != known {
            self.entry.trust.replace(authorities.clone())?;
            pki::write_private(&self.directory.join(AUTHORITIES), &authorities)?;
            tracing::info!("the cluster has other authorities");
        }
        Ok(())
    }

    fn due(&self) -> Duration {
        let due = |certificate: &str| pki::renewal_time(certificate).map_or(Duration::ZERO, until);
        due(&self.own).min(self.serving.as_deref().map_or(Duration::ZERO, due))
    }

    /// Whether it is time for a new one, or another authority signs by now: the first of those that are trusted.
    fn needs_renewal(&self, certificate: &str) -> bool {
        pki::needs_renewal(certificate) || pki::signer_of(certificate, &self.entry.trust.pem()) != Some(0)
    }

    /// Who asks: the node, or while the server does not know it any more who holds the token.
    async fn asker(&self) -> anyhow::Result<kube::Client> {
        let ended = pki::Summary::of(&self.own).is_ok_and(|summary| summary.has_ended());
        let by_token = if ended { self.entry.client()? } else { None };
        Ok(by_token.unwrap_or_else(|| self.client.clone()))
    }

    async fn renew(&mut self) -> anyhow::Result<()> {
        if self.needs_renewal(&self.own) {
            let spec = csr::node_client_spec(&self.node);
            let signer = csr::KUBELET_CLIENT_SIGNER;
            let pair = obtain(self.asker().await?, &self.directory, CLIENT, signer, &spec).await?;
            self.connections.replace(&pair)?;
            self.own = pair.0;
            tracing::info!("the certificate of the node was renewed");
        }
        if self.serving.as_deref().is_none_or(|serving| self.needs_renewal(serving)) {
            let signer = csr::KUBELET_SERVING_SIGNER;
            let (certificate, key) =
                obtain(self.client.clone(), &self.directory, SERVING, signer, &self.serving_spec).await?;
            self.identity.replace(&certificate, &key)?;
            self.serving = Some(certificate);
            tracing::info!("the certificate of the node's own API was renewed");
        }
        Ok(())
    }
}
