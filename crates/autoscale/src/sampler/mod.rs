//! Reads what nodes and pods use, when somebody asks.

mod summary;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::{Informer, Informers, ObjectKey};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{Client, ResourceExt};
use tokio::sync::Mutex;
use tracing::warn;

pub use summary::{ContainerReading, NodeReading, PodReading, Usage};
use summary::{Sample, WINDOW_MAX, node_reading, pod_readings};

/// Readings younger than this are given to everybody who asks.
const FRESH: Duration = Duration::from_secs(10);

/// The window of a first reading, when there is no earlier sample to form a rate with.
const FIRST_WINDOW: Duration = Duration::from_secs(1);

/// Nodes asked at once.
const SCRAPES_MAX: usize = 32;

/// A node that takes longer counts as one that does not answer.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where an autoscaler learns what pods use.
#[async_trait]
pub trait ResourceMetrics: Send + Sync + 'static {
    /// The present usage of every pod that is known.
    async fn readings(&self) -> Arc<Readings>;
}

/// What nodes and pods use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Readings {
    pub nodes: HashMap<String, NodeReading>,
    pub pods: HashMap<ObjectKey, PodReading>,
}

#[derive(Default)]
struct State {
    /// The last sample of each node that answered.
    samples: HashMap<String, Sample>,
    taken: Option<(Timestamp, Arc<Readings>)>,
}

struct Inner {
    client: Client,
    nodes: Informer<Node>,
    /// Held over a scrape, so that all who ask meanwhile share it.
    state: Mutex<State>,
}

/// Scrapes the nodes on demand. Cheap to clone; all clones share their readings.
#[derive(Clone)]
pub struct Sampler(Arc<Inner>);

impl Sampler {
    /// `client` must be allowed to get `nodes/proxy`; `informers` give the nodes to ask.
    pub fn new(client: Client, informers: &Informers) -> Self {
        Self::of(client, informers.get())
    }

    pub(crate) fn of(client: Client, nodes: Informer<Node>) -> Self {
        Self(Arc::new(Inner { client, nodes, state: Mutex::default() }))
    }

    async fn scrape_all(&self, nodes: Vec<String>) -> Vec<(String, Sample)> {
        let scrapes = stream::iter(nodes).map(|node| async move { Some((node.clone(), self.scrape(&node).await?)) });
        scrapes.buffer_unordered(SCRAPES_MAX).filter_map(std::future::ready).collect().await
    }

    async fn scrape(&self, node: &str) -> Option<Sample> {
        let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
        let request = http::Request::get(path).body(Vec::new()).expect("names of nodes are valid in a path");
        match tokio::time::timeout(SCRAPE_TIMEOUT, self.0.client.request_text(request)).await {
            Ok(Ok(summary)) => parsed(node, &summary),
            Ok(Err(error)) => {
                // Told in the server's own words.
                let error = control::Error::from(error);
                warn!(node, %error, "cannot read what the node uses");
                None
            }
            Err(_) => {
                warn!(node, timeout = ?SCRAPE_TIMEOUT, "the node does not say what it uses");
                None
            }
        }
    }

    /// Scrapes all nodes, those twice of which no earlier sample is known.
    async fn read(&self, state: &mut State) -> Readings {
        let nodes: Vec<String> = self.0.nodes.list().iter().map(|node| node.name_any()).collect();
        let mut earlier = std::mem::take(&mut state.samples);
        let mut now: HashMap<String, Sample> = self.scrape_all(nodes).await.into_iter().collect();
        let unknown: Vec<String> =
            now.iter().filter(|(node, sample)| !usable(earlier.get(*node), sample)).map(|(n, _)| n.clone()).collect();
        if !unknown.is_empty() {
            tokio::time::sleep(FIRST_WINDOW).await;
            for (node, sample) in self.scrape_all(unknown).await {
                earlier.extend(now.insert(node.clone(), sample).map(|first| (node, first)));
            }
        }
        let readings = readings(&earlier, &now);
        state.samples = now;
        readings
    }
}

#[async_trait]
impl ResourceMetrics for Sampler {
    /// At most ten seconds old. The first reading after a pause takes a second longer.
    /// Cancelling it loses the scrape, nothing else.
    async fn readings(&self) -> Arc<Readings> {
        self.0.nodes.synced().await;
        let mut state = self.0.state.lock().await;
        if let Some((_, readings)) = state.taken.as_ref().filter(|(at, _)| clock::since(*at) < FRESH) {
            return readings.clone();
        }
        let readings = Arc::new(self.read(&mut state).await);
        state.taken = Some((clock::now(), readings.clone()));
        readings
    }
}

fn parsed(node: &str, summary: &str) -> Option<Sample> {
    Sample::parse(summary, clock::now()).inspect_err(|error| warn!(node, %error, "the node's summary is broken")).ok()
}

fn usable(earlier: Option<&Sample>, now: &Sample) -> bool {
    earlier.is_some_and(|earlier| earlier.at < now.at && earlier.at + WINDOW_MAX >= now.at)
}

fn readings(earlier: &HashMap<String, Sample>, now: &HashMap<String, Sample>) -> Readings {
    let mut readings = Readings::default();
    for (node, sample) in now {
        let before = earlier.get(node);
        readings.nodes.extend(node_reading(before, sample).map(|reading| (node.clone(), reading)));
        readings.pods.extend(pod_readings(before, sample));
    }
    readings
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::{answer, client, summary};

    /// A node that uses half a CPU and counts how often it is asked.
    fn half_busy(scrapes: Arc<AtomicUsize>) -> Sampler {
        let started = clock::monotonic();
        let client = client(move |request| {
            assert_eq!(request.uri().path(), "/api/v1/nodes/n1/proxy/stats/summary");
            scrapes.fetch_add(1, Ordering::SeqCst);
            let used = started.elapsed().as_secs_f64() / 2.0;
            async move { answer(200, summary(used, &[])) }
        });
        let nodes = Informer::detached();
        let mut node = Node::default();
        node.metadata.name = Some("n1".to_owned());
        nodes.apply(node);
        nodes.set_synced();
        Sampler::of(client, nodes)
    }

    #[tokio::test(start_paused = true)]
    async fn askers_share_a_scrape_and_a_pause_starts_anew() {
        let _clock = clock::simulate(1);
        let scrapes = Arc::new(AtomicUsize::new(0));
        let sampler = half_busy(scrapes.clone());
        let (one, other) = tokio::join!(sampler.readings(), sampler.readings());
        assert_eq!(one, other);
        assert_eq!(one.nodes["n1"].window, FIRST_WINDOW);
        assert_eq!(one.nodes["n1"].usage.cpu_nano, 500_000_000);
        assert_eq!(scrapes.load(Ordering::SeqCst), 2, "a first reading takes two samples");

        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(sampler.readings().await.nodes["n1"].window, Duration::from_secs(15));
        assert_eq!(scrapes.load(Ordering::SeqCst), 3);

        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(sampler.readings().await.nodes["n1"].window, FIRST_WINDOW);
        assert_eq!(scrapes.load(Ordering::SeqCst), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_does_not_answer_is_left_out() {
        let _clock = clock::simulate(1);
        let sampler = half_busy(Arc::default());
        let silent = Sampler::of(client(|_| std::future::pending()), sampler.0.nodes.clone());
        assert!(silent.readings().await.nodes.is_empty());
    }
}
