//! Routes to the pods of other nodes: each node's block leads through the node's own address.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use control::{CancellationToken, Informers};
use k8s_openapi::api::core::v1::Node;

use crate::links::{Cidr, Links};
use crate::{PodNetwork, Result};

/// Keeps the node's own block and the routes to the others' as the Nodes say, until `shutdown`.
pub async fn run(
    informers: Informers,
    network: std::sync::Arc<PodNetwork>,
    cluster: Cidr,
    node: String,
    shutdown: CancellationToken,
) {
    let nodes = informers.get::<Node>();
    let mut version = nodes.version();
    let mut block = None;
    loop {
        if nodes.is_synced() {
            let known = nodes.list();
            let own = known.iter().find(|of| of.metadata.name.as_deref() == Some(&node)).and_then(|of| pod_block(of));
            if let Err(error) = follow(&network, &mut block, own, &known, &node, cluster).await {
                tracing::warn!(%error, "routes of the pod network are not up to date");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = version.changed() => if changed.is_err() { return },
        }
    }
}

async fn follow(
    network: &PodNetwork,
    block: &mut Option<Cidr>,
    own: Option<Cidr>,
    nodes: &[std::sync::Arc<Node>],
    node: &str,
    cluster: Cidr,
) -> Result<()> {
    if let Some(own) = own.filter(|own| *block != Some(*own)) {
        network.set_block(own).await?;
        *block = Some(own);
    }
    let wanted = decide(nodes.iter().map(AsRef::as_ref), node);
    let links = Links::here()?;
    for (to, gateway) in links.gateway_routes(cluster).await? {
        if wanted.get(&to) != Some(&gateway) {
            links.delete_route(to, gateway).await?;
        }
    }
    // A node that is not on this link must not keep the others from being reached.
    let mut outcome = Ok(());
    for (to, gateway) in wanted {
        outcome = links.route(0, to, Some(gateway)).await.and(outcome);
    }
    outcome
}

/// Which block of pod addresses is reached through which node, seen from `node`.
pub fn decide<'a>(nodes: impl IntoIterator<Item = &'a Node>, node: &str) -> BTreeMap<Cidr, Ipv4Addr> {
    let others = nodes.into_iter().filter(|of| of.metadata.name.as_deref() != Some(node));
    others.filter_map(|of| Some((pod_block(of)?, address(of)?))).collect()
}

fn pod_block(node: &Node) -> Option<Cidr> {
    node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()
}

fn address(node: &Node) -> Option<Ipv4Addr> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    addresses.iter().filter(|address| address.type_ == "InternalIP").find_map(|address| address.address.parse().ok())
}
