//! `keelson reset`: leaves the machine as it was before.

use anyhow::Context;

use crate::paths::Paths;
use crate::{cluster, flags};

/// Stops every container of a data directory and removes its mounts, links, rules, groups and files.
pub async fn run(flags: flags::Reset) -> anyhow::Result<()> {
    let directory = &flags.data.data_dir;
    if !directory.exists() {
        println!("{} does not exist: nothing to reset", directory.display());
        return Ok(());
    }
    let paths = Paths::open_to_remove(directory)?;
    for (locked, needed) in [(paths.store(), "stop the server first"), (paths.node_pki(), "stop the agent first")] {
        drop(store::lock(&locked).context(needed)?);
    }
    let stopped = containers::embedded::reset(&paths.containers(), &paths.run()).await;
    stopped.context("cannot remove the containers")?;
    let anything: network::links::Cidr = "0.0.0.0/0".parse()?;
    network::PodNetwork::remove(&crate::agent::network_config(&paths, anything, anything)).await?;
    network::proxy::remove().await?;
    node::volumes::unmount_all(&paths.pods()).context("cannot unmount the volumes of pods")?;
    paths.remove().with_context(|| format!("cannot remove {}", directory.display()))?;
    println!("removed {} and everything that ran from it; bridge {} is gone", directory.display(), cluster::BRIDGE);
    Ok(())
}
