//! The loop: informers feed cache and queue, decisions are bound through the API.

use std::sync::Arc;
use std::time::Duration;

use control::{CancellationToken, Change as Seen, Informers, Recorder};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, Semaphore};

use crate::bind::{self, Bound};
use crate::cache::Cache;
use crate::pods::PodInfo;
use crate::queue::{Change, Queue};
use crate::schedule::{FitError, schedule};

pub const SCHEDULER_NAME: &str = "default-scheduler";
/// Bindings on their way at once.
const BINDINGS_MAX: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    profile: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pending {
    queue: &'static str,
}

/// Metrics under upstream's names.
#[derive(Clone)]
pub struct Metrics {
    attempts: Family<Attempt, Counter>,
    duration: Family<Attempt, Histogram, fn() -> Histogram>,
    pending: Family<Pending, Gauge>,
}

impl Metrics {
    /// Metrics that `registry` shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new((0..15).map(|n| 0.001 * f64::from(1 << n)))),
            pending: Family::default(),
        };
        let attempts = "Number of attempts to schedule pods, by the result";
        registry.register("scheduler_schedule_attempts", attempts, metrics.attempts.clone());
        let duration = "Scheduling attempt latency in seconds (scheduling algorithm + binding)";
        registry.register("scheduler_scheduling_attempt_duration_seconds", duration, metrics.duration.clone());
        let pending = "Number of pending pods, by the queue type";
        registry.register("scheduler_pending_pods", pending, metrics.pending.clone());
        metrics
    }

    fn attempt(&self, result: &'static str, took: Duration) {
        let labels = Attempt { profile: SCHEDULER_NAME, result };
        self.attempts.get_or_create(&labels).inc();
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    fn show(&self, queue: &Queue) {
        for (name, length) in ["active", "backoff", "unschedulable"].into_iter().zip(queue.lengths()) {
            let gauge = self.pending.get_or_create(&Pending { queue: name });
            gauge.set(i64::try_from(length).unwrap_or(i64::MAX));
        }
    }
}

/// What informers and the loop share.
#[derive(Default)]
struct State {
    cache: Cache,
    queue: Queue,
    start: usize,
}

struct Scheduler {
    client: Client,
    recorder: Recorder,
    metrics: Metrics,
    state: Mutex<State>,
    /// There may be a pod to schedule.
    work: Notify,
    bindings: Arc<Semaphore>,
}

/// Schedules pods until `shutdown`.
pub async fn run(client: Client, informers: Informers, metrics: Metrics, shutdown: CancellationToken) {
    let scheduler = Arc::new(Scheduler {
        recorder: Recorder::new(client.clone(), SCHEDULER_NAME, ""),
        client,
        metrics,
        state: Mutex::default(),
        work: Notify::new(),
        bindings: Arc::new(Semaphore::new(BINDINGS_MAX)),
    });
    let (nodes, pods) = (informers.get::<Node>(), informers.get::<Pod>());
    let of_node = scheduler.clone();
    nodes.subscribe(move |change| of_node.node_changed(change));
    nodes.synced().await;
    let of_pod = scheduler.clone();
    pods.subscribe(move |change| of_pod.pod_changed(change));
    pods.synced().await;
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = scheduler.work() => {}
    }
}

impl Scheduler {
    fn node_changed(&self, seen: &Seen<Node>) {
        let mut state = self.state.lock();
        let node = seen.object();
        if seen.is_deletion() {
            state.cache.remove_node(node.metadata.name.as_deref().unwrap_or_default());
            return;
        }
        state.cache.set_node(node.clone());
        for change in node_changes(seen.old().map(AsRef::as_ref), node) {
            state.queue.changed(change, clock::monotonic());
        }
        self.work.notify_one();
    }

    fn pod_changed(&self, seen: &Seen<Pod>) {
        let mut state = self.state.lock();
        let (pod, now) = (seen.object(), clock::monotonic());
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let placed = control::pods::node_name(pod).is_some();
        if seen.is_deletion() || control::pods::is_finished(pod) {
            state.queue.remove(&uid);
            state.cache.remove_pod(&uid);
            state.queue.changed(Change::PodGone, now);
        } else if placed {
            state.queue.remove(&uid);
            state.cache.set_pod(pod.clone());
            if placed_anew(seen) {
                state.queue.changed(Change::PodPlaced, now);
            }
        } else if is_ours(pod) {
            state.queue.set(Arc::new(PodInfo::new(pod.clone())), now);
        } else {
            state.queue.remove(&uid);
        }
        self.work.notify_one();
    }

    async fn work(self: &Arc<Self>) {
        loop {
            let permit = self.bindings.clone().acquire_owned().await.expect("the semaphore is never closed");
            let (decision, wake) = self.decide();
            match decision {
                Some((pod, Ok(node))) => {
                    let scheduler = self.clone();
                    tokio::spawn(async move {
                        scheduler.bind(pod, node).await;
                        drop(permit);
                    });
                }
                Some((pod, Err(error))) => {
                    bind::report_pending(&self.client, &self.recorder, &pod, &error.to_string()).await;
                }
                None => {
                    drop(permit);
                    let sleep = tokio::time::sleep_until(wake.unwrap_or_else(clock::monotonic));
                    tokio::select! {
                        () = self.work.notified() => {}
                        () = sleep, if wake.is_some() => {}
                    }
                }
            }
        }
    }

    /// Takes the next pod and picks its node; when none waits, says when one may.
    #[allow(clippy::type_complexity)]
    fn decide(&self) -> (Option<(Arc<PodInfo>, Result<String, FitError>)>, Option<tokio::time::Instant>) {
        let started = clock::monotonic();
        let mut state = self.state.lock();
        let State { cache, queue, start } = &mut *state;
        self.metrics.show(queue);
        let Some(pod) = queue.pop(started) else { return (None, queue.next_wake()) };
        let decision = schedule(&pod, cache.snapshot(), start);
        match &decision {
            Ok(node) => cache.assume(pod.clone(), node),
            Err(error) => {
                queue.unschedulable(&pod.uid, error.plugins.clone(), started);
                self.metrics.attempt("unschedulable", started.elapsed());
            }
        }
        (Some((pod, decision)), None)
    }

    async fn bind(&self, pod: Arc<PodInfo>, node: String) {
        let started = clock::monotonic();
        match bind::bind(&self.client, &pod, &node).await {
            Bound::Yes => {
                let message = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
                self.recorder.normal(pod.pod.as_ref(), "Scheduled", message);
                self.metrics.attempt("scheduled", started.elapsed());
                tracing::debug!(pod = pod.name(), namespace = pod.namespace(), node, "bound");
            }
            Bound::Settled => self.give_back(&pod, false),
            Bound::Failed(error) => {
                tracing::warn!(%error, pod = pod.name(), node, "binding failed");
                self.metrics.attempt("error", started.elapsed());
                self.give_back(&pod, true);
            }
        }
    }

    fn give_back(&self, pod: &PodInfo, again: bool) {
        let mut state = self.state.lock();
        state.cache.remove_pod(&pod.uid);
        if again {
            state.queue.failed(&pod.uid, clock::monotonic());
        } else {
            state.queue.remove(&pod.uid);
        }
        self.work.notify_one();
    }
}

fn is_ours(pod: &Pod) -> bool {
    let name = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
    matches!(name, None | Some("" | SCHEDULER_NAME)) && !control::pods::is_terminating(pod)
}

fn placed_anew(seen: &Seen<Pod>) -> bool {
    seen.old().is_none_or(|old| {
        control::pods::node_name(old).is_none() || old.metadata.labels != seen.object().metadata.labels
    })
}

fn node_changes(old: Option<&Node>, new: &Node) -> Vec<Change> {
    let Some(old) = old else { return vec![Change::NodeAdded] };
    let taints = |node: &Node| node.spec.clone().map(|spec| (spec.taints, spec.unschedulable));
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    let differences = [
        (Change::NodeLabels, old.metadata.labels != new.metadata.labels),
        (Change::NodeTaints, taints(old) != taints(new)),
        (Change::NodeAllocatable, allocatable(old) != allocatable(new)),
    ];
    differences.into_iter().filter(|(_, differs)| *differs).map(|(change, _)| change).collect()
}
