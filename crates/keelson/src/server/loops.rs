//! The loops of the control plane, each with an identity of its own, all on one set of caches.

use std::sync::Arc;

use autoscale::Sampler;
use control::{Metrics, Shell};
use controllers::ControllersConfig;
use machinery::UserInfo;
use prometheus_client::registry::Registry;

use super::Running;
use crate::{cluster, flags};

/// Starts all of them, and answers the shell whose caches they share.
pub fn start(running: &mut Running, flags: &flags::Server) -> anyhow::Result<Shell> {
    let mut metrics = Registry::default();
    let controller_manager = running.client("system:kube-controller-manager", &[]);
    let shell = Shell::new(controller_manager, Metrics::register(&mut metrics), running.shutdown.clone());
    let scheduler_metrics = scheduler::Metrics::register(&mut metrics);
    running.server.metrics().add(metrics);
    let controllers = ControllersConfig {
        shell: shell.clone(),
        ca_pem: running.identities.authority_pem.clone(),
        cluster_cidr: flags.cluster_cidr.to_string().parse().map_err(anyhow::Error::msg)?,
        node_mask: cluster::NODE_MASK,
        node_ports: running.server.registry().node_ports(),
    };
    let (registry, authority) = (running.server.registry().clone(), running.identities.authority.clone());
    let signer = auth::csr::run::run(registry, authority, running.authorizer.clone());
    let (client, informers) = (running.client("system:kube-scheduler", &[]), shell.informers.clone());
    let scheduler = scheduler::run(client, informers, scheduler_metrics, running.shutdown.clone());
    // Reading what nodes use is for administrators alone.
    let administrator = running.client("system:metrics-server", &[UserInfo::MASTERS]);
    let sampler = Arc::new(Sampler::new(administrator, &shell.informers));
    running.metrics_api.set(autoscale::service(sampler.clone(), &shell.informers));
    running.spawn(signer);
    running.spawn(controllers::run(controllers));
    running.spawn(scheduler);
    running.spawn(autoscale::run(shell.clone(), sampler));
    Ok(shell)
}
