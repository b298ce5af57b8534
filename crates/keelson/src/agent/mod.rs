//! The parts of a node, the same on a server's own machine and on one that joined: pod network, container
//! runtime, agent, service proxy, DNS.

mod client;
mod join;
mod renew;
mod servers;

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use containers::embedded::{Embedded, EmbeddedConfig};
use control::{CancellationToken, Informers};
use network::links::Cidr;
use network::{PodNetwork, PodNetworkConfig};
use node::AgentConfig;
use tokio::task::JoinSet;

use crate::cluster;
use crate::paths::Paths;

pub use join::run;

const DNS_PORT: u16 = 53;

/// What a node needs to be told.
pub struct NodeConfig {
    /// Acts as `system:node:NAME`.
    pub client: kube::Client,
    /// Marks the node as one of the control plane, which no node may say of itself.
    pub control_plane: Option<kube::Client>,
    /// Of Nodes, Services and EndpointSlices.
    pub informers: Informers,
    pub name: String,
    pub address: IpAddr,
    pub port: u16,
    /// For the node's own API.
    pub tls: Arc<rustls::ServerConfig>,
    pub cluster: Cidr,
    pub services: Cidr,
    pub registries: containers::Registries,
}

/// Starts the parts of a node. Containers and traffic outlive it.
pub async fn start(
    config: NodeConfig,
    paths: &Paths,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let dns = cluster::dns_ip(config.services);
    let network = PodNetwork::open(network_config(paths, config.cluster, config.services))?;
    let network = Arc::new(network);
    let runtime = Embedded::start(EmbeddedConfig {
        root: paths.containers(),
        run: paths.run(),
        network: network.clone(),
        supervisor_command: crate::own_command("supervisor")?,
    });
    let runtime = runtime.await.context("cannot start the container runtime")?;
    runtime.configure_registries(config.registries);
    let informers = config.informers;
    let agent = AgentConfig {
        root_dir: paths.pods(),
        port: config.port,
        tls: Some(config.tls),
        cluster_dns: vec![IpAddr::V4(dns)],
        cluster_domain: cluster::DOMAIN.to_owned(),
        control_plane: config.control_plane,
        ..AgentConfig::new(config.client, Arc::new(runtime), &config.name, config.address)
    };
    let name = config.name;
    let reserved = vec![dns];
    let ends = shutdown.clone();
    tasks.spawn({
        let (informers, name) = (informers.clone(), name.clone());
        async move {
            network::routes::run(informers, network, config.cluster, name, ends).await;
            Ok(())
        }
    });
    let ends = shutdown.clone();
    tasks.spawn({
        let informers = informers.clone();
        async move {
            network::proxy::run(informers, name, reserved, ends).await;
            Ok(())
        }
    });
    let ends = shutdown.clone();
    tasks.spawn(async move { Ok(dns::run(informers, IpAddr::V4(dns), DNS_PORT, cluster::DOMAIN, ends).await?) });
    tasks.spawn(async move { Ok(node::Agent::run(agent, shutdown).await?) });
    Ok(())
}

pub fn network_config(paths: &Paths, cluster: Cidr, services: Cidr) -> PodNetworkConfig {
    PodNetworkConfig {
        state: paths.leases(),
        bridge: cluster::BRIDGE.to_owned(),
        cluster,
        services,
        local: vec![cluster::dns_ip(services)],
    }
}
