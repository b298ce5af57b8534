//! What a cluster costs in which nothing happens.

use anyhow::Context;
use tokio::time::sleep;

use crate::cluster::{Cluster, Subject};
use crate::flags::Sizes;
use crate::report::{Aim, Measure};

pub const MIB: f64 = 1024.0 * 1024.0;

pub async fn run(subject: &Subject, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    subject.with_cluster(&[], async |cluster| rest(cluster, sizes).await).await
}

async fn rest(cluster: &Cluster<'_>, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let server = cluster.server.context("a server of our own")?;
    cluster.until_node_is_ready().await?;
    sleep(sizes.settle).await;
    let before = server.usage()?;
    let started = clock::monotonic();
    sleep(sizes.idle).await;
    let worked = server.usage()?.processor.saturating_sub(before.processor);
    let share = 100.0 * worked.as_secs_f64() / started.elapsed().as_secs_f64();
    Ok(vec![
        Measure::new("idle: memory, PSS", before.pss as f64 / MIB, "MiB").aim(Aim::AtMost(100.0)),
        Measure::new("idle: memory, resident", before.rss as f64 / MIB, "MiB"),
        Measure::new("idle: processor", share, "% of a core").aim(Aim::AtMost(0.5)),
    ])
}
