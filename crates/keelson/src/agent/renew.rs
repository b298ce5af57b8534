//! The certificates of a node that joined, asked for anew in time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auth::csr;
use auth::pki::{self, LeafSpec};
use auth::rotation::until;
use auth::tls::Identity;

use super::client::Connections;
use super::join::{CLIENT, SERVING, obtain};

/// The longest sleep: a machine that sleeps does not feel the time pass.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// Wait after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// What a node shows to the server, and to those who call it.
pub struct Renewal {
    pub client: kube::Client,
    pub connections: Connections,
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
        loop {
            if let Err(error) = self.renew().await {
                tracing::error!(%error, "a certificate of the node can not be renewed");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            tokio::time::sleep(self.due().min(SLEEP_MAX)).await;
        }
    }

    fn due(&self) -> Duration {
        let due = |certificate: &str| pki::renewal_time(certificate).map_or(Duration::ZERO, until);
        due(&self.own).min(self.serving.as_deref().map_or(Duration::ZERO, due))
    }

    async fn renew(&mut self) -> anyhow::Result<()> {
        if pki::needs_renewal(&self.own) {
            let spec = csr::node_client_spec(&self.node);
            let signer = csr::KUBELET_CLIENT_SIGNER;
            let pair = obtain(self.client.clone(), &self.directory, CLIENT, signer, &spec).await?;
            self.connections.replace(&pair)?;
            self.own = pair.0;
            tracing::info!("the certificate of the node was renewed");
        }
        if self.serving.as_deref().is_none_or(pki::needs_renewal) {
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
