//! From nothing to a cluster.

use std::time::Duration;

use anyhow::Context;

use crate::cluster::{Cluster, Subject};
use crate::flags::Sizes;
use crate::report::{Aim, Measure};
use crate::server::Server;
use crate::stats::{milliseconds, percentile};

pub async fn run(subject: &Subject, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let (mut api, mut node) = (Vec::new(), Vec::new());
    for _ in 0..sizes.starts {
        let (answers, ready) = subject.with_server(&[], start).await?;
        api.push(answers);
        node.push(ready);
    }
    let median = |samples: &[Duration]| percentile(samples, 50).map(milliseconds).context("no start");
    Ok(vec![
        Measure::new("start: API answers", median(&api)?, "ms").aim(Aim::AtMost(300.0)),
        Measure::new("start: node is Ready", median(&node)?, "ms").aim(Aim::AtMost(1000.0)),
    ])
}

/// Time from the start of the process to the API answering, and to the node Ready.
async fn start(server: &mut Server) -> anyhow::Result<(Duration, Duration)> {
    let answers = server.until_ready().await?;
    let cluster = Cluster::connect(&server.kubeconfig(), None).await?;
    cluster.until_node_is_ready().await?;
    Ok((answers, server.started.elapsed()))
}
