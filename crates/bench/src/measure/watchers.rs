//! Many watchers of one resource, and how late they learn of a write.
//!
//! As nodes and operators do, a watcher keeps a stream of a shared HTTP/2 connection open. The time of a write
//! travels in the object: what is measured begins before the write is sent and ends when the event was read.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::CONNECTIONS;
use super::idle::MIB;
use super::{config_maps, object_name};
use crate::cluster::{Cluster, Subject};
use crate::flags::Sizes;
use crate::load::{Connection, Shared, Target};
use crate::report::{Aim, Measure};
use crate::stats::{milliseconds, percentile};

/// Servers allow at least this many requests at once on a connection.
const STREAMS: u64 = 100;
/// From the first watch to the first event of each, and from a write to its last event.
const LIMIT: Duration = Duration::from_secs(60);
/// Events that are read and not yet looked at.
const BACKLOG: usize = 10_000;
const SENT: &str = "sent";

pub async fn run(subject: &Subject, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    subject.with_cluster(&["--no-agent"], async |cluster| measure(cluster, sizes).await).await
}

async fn measure(cluster: &Cluster<'_>, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    let epoch = clock::monotonic();
    let mut measures = own_objects(cluster, sizes, epoch).await?;
    measures.extend(one_object(cluster, sizes, epoch).await?);
    Ok(measures)
}

/// Each watches an object of its own, as a node its pods.
async fn own_objects(cluster: &Cluster<'_>, sizes: &Sizes, epoch: Instant) -> anyhow::Result<Vec<Measure>> {
    let path = prepare(cluster, "bench-own", sizes.watchers, epoch).await?;
    let memory = || cluster.server.map(|server| server.usage()).transpose();
    let before = memory()?;
    let selected = |index| format!("{path}?watch=true&fieldSelector=metadata.name%3D{}", object_name(index));
    let mut watchers = Watchers::open(&cluster.target, sizes.watchers, selected, epoch).await?;
    let after = memory()?;

    let each = sizes.watched_writes * sizes.load.as_secs() / CONNECTIONS as u64;
    let written = each * CONNECTIONS as u64;
    let writes = write(&cluster.target, &path, each, sizes, epoch);
    let (writing, seen) = tokio::join!(writes, watchers.events(written));
    let (writing, seen) = (writing?, seen?);
    let p99 = percentile(&seen, 99).context("no event")?;
    let name = format!("api: {} watchers of one each", sizes.watchers);
    let memory = before.zip(after).map(|(before, after)| {
        let grown = after.rss.saturating_sub(before.rss) as f64 / MIB;
        Measure::new(format!("{name}, memory for all"), grown, "MiB")
    });
    let writes = written as f64 / writing.as_secs_f64();
    Ok([
        Measure::new(format!("{name}, writes"), writes, "a second")
            .aim(Aim::AtLeast(0.95 * sizes.watched_writes as f64)),
        Measure::new(format!("{name}, delay p99"), milliseconds(p99), "ms").aim(Aim::AtMost(200.0)),
    ]
    .into_iter()
    .chain(memory)
    .collect())
}

/// All watch the same object: one write after the other, each when all have seen the last one.
async fn one_object(cluster: &Cluster<'_>, sizes: &Sizes, epoch: Instant) -> anyhow::Result<Vec<Measure>> {
    let path = prepare(cluster, "bench-one", 1, epoch).await?;
    let mut watchers = Watchers::open(&cluster.target, sizes.watchers, |_| format!("{path}?watch=true"), epoch).await?;
    let mut connection = Connection::open(&cluster.target).await?;
    let (started, mut seen) = (clock::monotonic(), Vec::new());
    while started.elapsed() < sizes.load {
        put(&cluster.target, &mut connection, &path, 0, epoch).await?;
        seen.extend(watchers.events(sizes.watchers).await?);
    }
    let delivered = seen.len() as f64 / started.elapsed().as_secs_f64();
    let p99 = percentile(&seen, 99).context("no event")?;
    let name = format!("api: {} watchers of the same", sizes.watchers);
    Ok(vec![
        Measure::new(format!("{name}, events"), delivered, "a second"),
        Measure::new(format!("{name}, delay p99"), milliseconds(p99), "ms").aim(Aim::AtMost(200.0)),
    ])
}

/// Makes the objects that are watched.
async fn prepare(cluster: &Cluster<'_>, namespace: &str, count: u64, epoch: Instant) -> anyhow::Result<String> {
    cluster.namespace(namespace).await?;
    let path = config_maps(namespace);
    let mut connection = Connection::open(&cluster.target).await?;
    for index in 0..count {
        connection.send(cluster.target.post(&path, object(index, epoch))).await?;
    }
    Ok(path)
}

/// Writes at an even rate, so many on each connection, whatever the server makes of it; says how long that took.
async fn write(target: &Arc<Target>, path: &str, each: u64, sizes: &Sizes, epoch: Instant) -> anyhow::Result<Duration> {
    let pause = Duration::from_secs(CONNECTIONS as u64) / u32::try_from(sizes.watched_writes)?;
    let started = clock::monotonic();
    let mut writers = JoinSet::new();
    for writer in 0..CONNECTIONS as u64 {
        let (target, path, watchers) = (target.clone(), path.to_owned(), sizes.watchers);
        writers.spawn(async move {
            let mut connection = Connection::open(&target).await?;
            let mut ticks = interval(pause);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for write in 0..each {
                ticks.tick().await;
                let index = (write * CONNECTIONS as u64 + writer) % watchers;
                put(&target, &mut connection, &path, index, epoch).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(started.elapsed())
}

async fn put(
    target: &Target,
    connection: &mut Connection,
    path: &str,
    index: u64,
    epoch: Instant,
) -> anyhow::Result<u64> {
    connection.send(target.put(&format!("{path}/{}", object_name(index)), object(index, epoch))).await
}

/// A ConfigMap that carries the time since `epoch`, in nanoseconds.
fn object(index: u64, epoch: Instant) -> Bytes {
    let sent = epoch.elapsed().as_nanos().to_string();
    let metadata = json!({"name": object_name(index)});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {SENT: sent}}).to_string().into()
}

/// When the object of an event was sent.
fn sent(event: &str) -> Option<Duration> {
    let (_, rest) = event.split_once(&format!("\"{SENT}\":\""))?;
    let (nanoseconds, _) = rest.split_once('"')?;
    nanoseconds.parse().ok().map(Duration::from_nanos)
}

struct Watchers {
    delays: Receiver<Duration>,
    /// End with the watchers.
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Watchers {
    /// Answers when each has got the object that was there before.
    async fn open(
        target: &Target,
        count: u64,
        path: impl Fn(u64) -> String,
        epoch: Instant,
    ) -> anyhow::Result<Watchers> {
        let (sender, delays) = mpsc::channel(BACKLOG);
        let mut watchers = Watchers { delays, tasks: JoinSet::new() };
        for first in (0..count).step_by(STREAMS as usize) {
            let connection = Shared::open(target).await?;
            for index in first..count.min(first + STREAMS) {
                let body = connection.begin(target, &path(index)).await?;
                watchers.tasks.spawn(watch(body, sender.clone(), epoch));
            }
        }
        watchers.events(count).await.context("the first event of each watcher")?;
        Ok(watchers)
    }

    /// How late so many events were.
    async fn events(&mut self, count: u64) -> anyhow::Result<Vec<Duration>> {
        let mut delays = Vec::with_capacity(usize::try_from(count)?);
        while (delays.len() as u64) < count {
            let delay = timeout(LIMIT, self.delays.recv()).await;
            let missing = || format!("{} of {count} events came", delays.len());
            delays.push(delay.ok().flatten().with_context(missing)?);
        }
        Ok(delays)
    }
}

async fn watch(mut body: Incoming, delays: Sender<Duration>, epoch: Instant) -> anyhow::Result<()> {
    let mut line = Vec::new();
    while let Some(frame) = body.frame().await {
        for byte in frame?.data_ref().into_iter().flatten() {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            // Only the objects of this measurement carry a time.
            if let Some(sent) = sent(std::str::from_utf8(&line)?) {
                delays.send(epoch.elapsed().saturating_sub(sent)).await?;
            }
            line.clear();
        }
    }
    ensure!(line.is_empty(), "a watch ended within an event");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_when_its_object_was_sent() {
        let object = object(3, clock::monotonic());
        let event = format!("{{\"type\":\"ADDED\",\"object\":{}}}", std::str::from_utf8(&object).unwrap());
        assert!(sent(&event).is_some_and(|sent| sent < Duration::from_secs(60)));
        assert_eq!(sent("{\"type\":\"BOOKMARK\"}"), None);
    }
}
