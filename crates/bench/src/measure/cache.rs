//! Many pods in the server's memory: what they cost, how soon it is back with them, and what slow readers add.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde_json::json;
use tokio::time::sleep;

use super::CONNECTIONS;
use super::idle::MIB;
use crate::cluster::{Cluster, Subject};
use crate::flags::Sizes;
use crate::load::{self, Bound, Connection};
use crate::report::{Aim, Measure};
use crate::server::Server;

const NAMESPACE: &str = "bench-cache";
/// Bytes of a pod as the server holds and answers it.
const POD: u64 = 4000;
const FILL_LIMIT: Duration = Duration::from_secs(300);
/// How long nobody reads, and how often memory is looked at meanwhile.
const UNREAD: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

pub async fn run(subject: &Subject, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    subject.with_server(&["--no-agent"], async |server| measure(server, sizes).await).await
}

async fn measure(server: &mut Server, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    server.until_ready().await?;
    let cluster = Cluster::connect(&server.kubeconfig(), None).await?;
    let empty = server.usage()?.rss;
    fill(&cluster, sizes.held_pods).await?;
    sleep(sizes.settle).await;
    let held = server.usage()?.rss;
    let added = slow_lists(server, &cluster, sizes.slow_lists).await?;

    server.restart().await?;
    let started = server.until_ready().await?;
    let mut connection = Connection::open(&cluster.target).await?;
    connection.send(cluster.target.get(&format!("{}?limit=1", pods()))).await?;
    let name = format!("api: {} pods of 4 KB", sizes.held_pods);
    Ok(vec![
        Measure::new("api: memory before, resident", empty as f64 / MIB, "MiB"),
        Measure::new(format!("{name}, resident"), held as f64 / MIB, "MiB").aim(Aim::AtMost(600.0)),
        Measure::new(format!("{name}, start"), started.as_secs_f64(), "s").aim(Aim::AtMost(3.0)),
        Measure::new(format!("api: {} lists that nobody reads, added", sizes.slow_lists), added as f64 / MIB, "MiB"),
    ])
}

fn pods() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

async fn fill(cluster: &Cluster<'_>, count: u64) -> anyhow::Result<()> {
    cluster.namespace(NAMESPACE).await?;
    let mut connection = Connection::open(&cluster.target).await?;
    let bare = connection.send(cluster.target.post(&pods(), pod("probe", 0))).await?;
    let filler = usize::try_from(POD.saturating_sub(bare))?;
    let bound = Bound { requests: count, time: FILL_LIMIT };
    let request = move |target: &load::Target, index| target.post(&pods(), pod(&format!("pod-{index:06}"), filler));
    let made = load::run(&cluster.target, CONNECTIONS, bound, request).await?;
    ensure!(made.latencies.len() as u64 == count, "{count} pods are not made after {FILL_LIMIT:?}");
    Ok(())
}

/// A pod that is left alone: its scheduler does not exist.
fn pod(name: &str, filler: usize) -> Bytes {
    let annotations = json!({"filler": text(name, filler)});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
        "spec": {"schedulerName": "none", "containers": [{"name": "main", "image": "none"}]},
    })
    .to_string()
    .into()
}

/// Text that is not the same for two pods.
fn text(name: &str, length: usize) -> String {
    name.bytes()
        .cycle()
        .zip(0_u8..=255)
        .map(|(a, b)| char::from(b'a' + a.wrapping_mul(b) % 26))
        .cycle()
        .take(length)
        .collect()
}

/// By how much memory grows while so many clients list all pods and none reads its answer.
async fn slow_lists(server: &Server, cluster: &Cluster<'_>, count: usize) -> anyhow::Result<u64> {
    let before = server.usage()?.rss;
    let mut unread = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::open(&cluster.target).await?;
        let answer = connection.begin(cluster.target.get("/api/v1/pods")).await.context("a list")?;
        unread.push((connection, answer));
    }
    let (started, mut most) = (clock::monotonic(), before);
    while started.elapsed() < UNREAD {
        sleep(PAUSE).await;
        most = most.max(server.usage()?.rss);
    }
    Ok(most - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_as_long_as_its_filler_makes_it() {
        assert_eq!(pod("a", 1000).len(), pod("a", 0).len() + 1000);
        assert_ne!(text("pod-000001", 300), text("pod-000002", 300));
    }
}
