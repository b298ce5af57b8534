//! From nothing to a cluster.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::runtime::wait::await_condition;
use tokio::time::timeout;

use crate::cluster::{Cluster, Subject, is_ready};
use crate::flags::Sizes;
use crate::report::{Aim, Measure};
use crate::server::{NODE, Server};
use crate::stats::{milliseconds, percentile};

const READY_LIMIT: Duration = Duration::from_secs(60);

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
    let nodes: Api<Node> = Api::all(cluster.client);
    timeout(READY_LIMIT, await_condition(nodes, NODE, is_ready)).await.context("the node is not Ready")??;
    Ok((answers, server.started.elapsed()))
}
