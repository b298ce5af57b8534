//! Requests a second.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use serde_json::json;

use super::CONNECTIONS;
use super::idle::MIB;
use super::{config_maps, object_name};
use crate::cluster::{Cluster, Subject};
use crate::flags::Sizes;
use crate::load::{self, Bound, Outcome};
use crate::report::{Aim, Measure};
use crate::stats::{milliseconds, percentile};

/// Bytes of a ConfigMap as it is sent.
const OBJECT: usize = 512;
/// Answers of a large list are of some 10 MB: more of them at once would measure memory.
const LARGE_CONNECTIONS: usize = 4;
/// Making the objects that are listed may take this long.
const FILL_LIMIT: Duration = Duration::from_secs(120);
/// Creates and gets of one measurement, however fast they are.
pub(super) const REQUESTS_MAX: u64 = 1_000_000;

pub async fn run(subject: &Subject, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    subject.with_cluster(&[], async |cluster| api(cluster, sizes).await).await
}

async fn api(cluster: &Cluster<'_>, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let [creates, small, large] = ["bench-creates", "bench-small", "bench-large"];
    for namespace in [creates, small, large] {
        cluster.namespace(namespace).await?;
    }
    let bound = Bound { requests: REQUESTS_MAX, time: sizes.load };
    let created = create(cluster, creates, bound).await?;
    fill(cluster, small, sizes.small_list).await?;
    fill(cluster, large, sizes.large_list).await?;
    let count = sizes.small_list;
    let name = move |index: u64| format!("{}/{}", config_maps(small), object_name(index % count));
    let got = load::run(&cluster.target, CONNECTIONS, bound, move |target, index| target.get(&name(index))).await?;
    let listed = list(cluster, small, CONNECTIONS, bound).await?;
    let listed_large = list(cluster, large, LARGE_CONNECTIONS, bound).await?;
    let lines = [
        lines(&format!("api: creates, {CONNECTIONS} connections"), &created, 10_000.0)?,
        lines(&format!("api: gets, {CONNECTIONS} connections"), &got, 40_000.0)?,
        lines(&format!("api: lists of {}, {CONNECTIONS} connections", sizes.small_list), &listed, 2_000.0)?,
        lines(&format!("api: lists of {}, {LARGE_CONNECTIONS} connections", sizes.large_list), &listed_large, 100.0)?,
    ];
    let after = cluster.server.map(|server| server.usage()).transpose()?;
    let memory = after.map(|usage| {
        Measure::new("api: memory after these, resident", usage.rss as f64 / MIB, "MiB").aim(Aim::AtMost(200.0))
    });
    Ok(lines.into_iter().flatten().chain(memory).collect())
}

/// Makes ConfigMaps.
pub(super) async fn create(cluster: &Cluster<'_>, namespace: &'static str, bound: Bound) -> anyhow::Result<Outcome> {
    let path = config_maps(namespace);
    load::run(&cluster.target, CONNECTIONS, bound, move |target, index| target.post(&path, config_map(index))).await
}

async fn fill(cluster: &Cluster<'_>, namespace: &'static str, count: u64) -> anyhow::Result<()> {
    let made = create(cluster, namespace, Bound { requests: count, time: FILL_LIMIT }).await?;
    anyhow::ensure!(made.latencies.len() as u64 == count, "{count} objects are not made after {FILL_LIMIT:?}");
    Ok(())
}

async fn list(
    cluster: &Cluster<'_>,
    namespace: &'static str,
    connections: usize,
    bound: Bound,
) -> anyhow::Result<Outcome> {
    let path = config_maps(namespace);
    load::run(&cluster.target, connections, bound, move |target, _| target.get(&path)).await
}

fn lines(name: &str, outcome: &Outcome, aim: f64) -> anyhow::Result<[Measure; 2]> {
    let p99 = percentile(&outcome.latencies, 99).context("no request")?;
    Ok([
        Measure::new(name, outcome.rate(), "a second").aim(Aim::AtLeast(aim)),
        Measure::new(format!("{}, p99", name.split(',').next().unwrap_or(name)), milliseconds(p99), "ms"),
    ])
}

fn config_map(index: u64) -> Bytes {
    let with = |filler: String| {
        let metadata = json!({"name": object_name(index)});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"filler": filler}}).to_string()
    };
    let filler = OBJECT.saturating_sub(with(String::new()).len());
    with("x".repeat(filler)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_of_the_size_that_the_table_speaks_of() {
        assert_eq!(config_map(0).len(), OBJECT);
        assert_eq!(config_map(REQUESTS_MAX - 1).len(), OBJECT);
    }
}
