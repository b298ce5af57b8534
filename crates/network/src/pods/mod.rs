//! The pod network of one node: a bridge, a veth pair for each pod, addresses out of the node's block.
//!
//! A pod has its address alone (a /32) and reaches everything through the bridge's address, so that all its
//! packets pass the node's own routing and address translation, those to its neighbours too.

mod leases;
mod ports;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use containers::{SandboxConfig, SandboxNetwork};
use tokio::sync::watch;

use crate::links::{Cidr, Links, in_namespace, set_parameter};
use crate::{Error, Result, nft};
use leases::{Lease, Leases};

/// How long a pod waits for its node to get a block of addresses.
const BLOCK_WAIT: Duration = Duration::from_secs(30);
const POD_LINK: &str = "eth0";

#[derive(Clone, Debug)]
pub struct PodNetworkConfig {
    /// Where leases are kept, one file each.
    pub state: PathBuf,
    /// The bridge's name, at most 15 bytes.
    pub bridge: String,
    /// All pods of the cluster; what leaves it takes the node's address.
    pub cluster: Cidr,
    /// All services; the node itself reaches them over the bridge.
    pub services: Cidr,
    /// Addresses that are served on the node itself, such as the cluster DNS.
    pub local: Vec<Ipv4Addr>,
}

/// Connects pods to each other and to the world.
pub struct PodNetwork {
    config: PodNetworkConfig,
    leases: Leases,
    block: watch::Sender<Option<Cidr>>,
}

impl PodNetwork {
    /// Reads the leases that an earlier run left. Nothing is changed in the kernel before [`Self::set_block`].
    pub fn open(config: PodNetworkConfig) -> Result<Self> {
        let leases = Leases::open(&config.state)?;
        Ok(Self { config, leases, block: watch::Sender::new(None) })
    }

    /// Sets up the bridge for the node's block of pod addresses. May be repeated.
    pub async fn set_block(&self, block: Cidr) -> Result<()> {
        let gateway = block.nth(1);
        let links = Links::here()?;
        let bridge = links.bridge(&self.config.bridge).await?;
        let local: Vec<(Ipv4Addr, u8)> = self.config.local.iter().map(|address| (*address, 32)).collect();
        let addresses = [&[(gateway, block.length)], local.as_slice()].concat();
        links.retain_addresses(bridge, &addresses).await?;
        for (address, length) in addresses {
            links.add_address(bridge, address, length).await?;
        }
        links.up(bridge).await?;
        links.route(bridge, self.config.services, None).await?;
        self.set_parameters()?;
        let table = ports::Table { bridge: &self.config.bridge, cluster: self.config.cluster, block };
        apply(table.replace(&self.leases.all())).await?;
        self.block.send_replace(Some(block));
        Ok(())
    }

    fn set_parameters(&self) -> Result<()> {
        let of_bridge = |name: &str| format!("net/ipv4/conf/{}/{name}", self.config.bridge);
        set_parameter("net/ipv4/ip_forward", "1")?;
        // Node ports answer on 127.0.0.1 as well.
        set_parameter(&of_bridge("route_localnet"), "1")?;
        // A redirect would tell pods to bypass the node, and with it the translation of service addresses.
        set_parameter("net/ipv4/conf/all/send_redirects", "0")?;
        set_parameter(&of_bridge("send_redirects"), "0")
    }

    /// Removes the bridge, the pods' links, the rules and the leases.
    pub async fn remove(config: &PodNetworkConfig) -> Result<()> {
        let links = Links::here()?;
        if let Some(bridge) = links.index(&config.bridge).await? {
            for link in links.on_bridge(bridge).await? {
                links.delete(&link).await?;
            }
        }
        links.delete(&config.bridge).await?;
        apply(ports::remove()).await?;
        Leases::remove(&config.state)
    }

    async fn connect(&self, sandbox_id: &str, netns: &Path, config: &SandboxConfig) -> Result<Ipv4Addr> {
        let block = self.wait_for_block().await?;
        let (lease, fresh) = self.leases.take(sandbox_id, block, &config.port_mappings)?;
        if !fresh && self.is_connected(netns).await? {
            return Ok(lease.address);
        }
        let links = Links::here()?;
        let bridge = links.bridge(&self.config.bridge).await?;
        let namespace = std::fs::File::open(netns).map_err(|cause| Error::File { path: netns.to_owned(), cause })?;
        let name = host_link(sandbox_id);
        links.delete(&name).await?;
        links.veth(&name, bridge, POD_LINK, &namespace).await?;
        let (address, gateway) = (lease.address, block.nth(1));
        in_namespace(netns, move |links| set_up_pod(links, address, gateway)).await?;
        apply(ports::add(&lease)).await?;
        Ok(lease.address)
    }

    async fn is_connected(&self, netns: &Path) -> Result<bool> {
        in_namespace(netns, |links| async move { Ok(links.index(POD_LINK).await?.is_some()) }).await
    }

    async fn wait_for_block(&self) -> Result<Cidr> {
        let mut block = self.block.subscribe();
        let waited = tokio::time::timeout(BLOCK_WAIT, block.wait_for(Option::is_some)).await;
        let block = waited.ok().and_then(|block| block.ok().and_then(|block| *block));
        block.ok_or_else(|| Error::Invalid("the node has no block of pod addresses yet".to_owned()))
    }

    async fn disconnect(&self, sandbox_id: &str) -> Result<()> {
        Links::here()?.delete(&host_link(sandbox_id)).await?;
        if let Some(lease) = self.leases.get(sandbox_id) {
            if self.block.borrow().is_some() {
                apply(ports::delete(&lease)).await?;
            }
            self.leases.release(sandbox_id)?;
        }
        Ok(())
    }

    /// Links on the bridge that belong to no sandbox of `keep`.
    async fn delete_stray_links(&self, keep: &[String]) -> Result<()> {
        let links = Links::here()?;
        let Some(bridge) = links.index(&self.config.bridge).await? else { return Ok(()) };
        let keep: Vec<String> = keep.iter().map(|id| host_link(id)).collect();
        for name in links.on_bridge(bridge).await?.into_iter().filter(|name| !keep.contains(name)) {
            links.delete(&name).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl SandboxNetwork for PodNetwork {
    async fn attach(&self, sandbox_id: &str, netns: &Path, config: &SandboxConfig) -> containers::Result<Vec<IpAddr>> {
        let address = self.connect(sandbox_id, netns, config).await.map_err(runtime_error)?;
        Ok(vec![IpAddr::V4(address)])
    }

    async fn detach(&self, sandbox_id: &str) -> containers::Result<()> {
        self.disconnect(sandbox_id).await.map_err(runtime_error)
    }

    async fn retain(&self, sandbox_ids: &[String]) -> containers::Result<()> {
        for lease in self.leases.all().into_iter().filter(|lease| !sandbox_ids.contains(&lease.sandbox_id)) {
            self.disconnect(&lease.sandbox_id).await.map_err(runtime_error)?;
        }
        self.delete_stray_links(sandbox_ids).await.map_err(runtime_error)
    }
}

fn runtime_error(error: Error) -> containers::Error {
    containers::Error::Runtime(format!("pod network: {error}"))
}

async fn set_up_pod(links: Links, address: Ipv4Addr, gateway: Ipv4Addr) -> Result<()> {
    const LOOPBACK: u32 = 1;
    let index = links.index(POD_LINK).await?.ok_or_else(|| Error::Invalid(format!("the pod has no {POD_LINK}")))?;
    links.up(LOOPBACK).await?;
    links.add_address(index, address, 32).await?;
    links.up(index).await?;
    links.route(index, Cidr { base: gateway, length: 32 }, None).await?;
    links.route(index, Cidr { base: Ipv4Addr::UNSPECIFIED, length: 0 }, Some(gateway)).await
}

/// The name of a pod's link on the node: at most 15 bytes.
fn host_link(sandbox_id: &str) -> String {
    let id: String = sandbox_id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("kl{id}")
}

async fn apply(batch: nft::Batch) -> Result<()> {
    let applied = tokio::task::spawn_blocking(move || nft::apply(batch)).await;
    Ok(applied.expect("applying a batch does not panic")?)
}

/// What `ports` needs of a lease; kept here so that both modules speak of the same.
fn backends(lease: &Lease) -> impl Iterator<Item = (&containers::PortMapping, u8)> {
    let numbered = |mapping: &containers::PortMapping| crate::proxy::protocol_number(Some(&mapping.protocol));
    lease.ports.iter().filter_map(move |mapping| Some((mapping, numbered(mapping)?)))
}
