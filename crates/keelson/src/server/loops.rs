//! The loops of the control plane, each with a client and an identity of its own.

use control::{Informers, Metrics};
use controllers::ControllersConfig;
use machinery::UserInfo;

use super::Running;
use crate::{cluster, flags};

pub fn start(running: &mut Running, flags: &flags::Server) -> anyhow::Result<()> {
    let client = |name: &str| kube::Client::new(running.server.client(UserInfo::new(name, &[])), "default");
    let shutdown = running.shutdown.clone();
    let controllers = ControllersConfig {
        client: client("system:kube-controller-manager"),
        ca_pem: running.identities.authority_pem.clone(),
        cluster_cidr: flags.cluster_cidr.to_string().parse().map_err(anyhow::Error::msg)?,
        node_mask: cluster::NODE_MASK,
        metrics: Metrics::default(),
    };
    let scheduler = client("system:kube-scheduler");
    let informers = Informers::new(scheduler.clone());
    let (registry, authority) = (running.server.registry().clone(), running.identities.authority.clone());
    let signer = auth::csr::run::run(registry, authority, running.authorizer.clone());
    running.tasks.spawn({
        let shutdown = shutdown.clone();
        async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = signer => {}
            }
            Ok(())
        }
    });
    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = scheduler::Metrics::register(&mut registry);
    running.tasks.spawn({
        let shutdown = shutdown.clone();
        async move {
            controllers::run(controllers, shutdown).await;
            Ok(())
        }
    });
    running.tasks.spawn(async move {
        scheduler::run(scheduler, informers, metrics, shutdown).await;
        Ok(())
    });
    Ok(())
}
