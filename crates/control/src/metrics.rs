//! The work queues' metrics, under upstream's names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    name: &'static str,
}

/// `workqueue_*` and `keelson_reconcile_panics_total`, labelled by the queue's name.
#[derive(Clone)]
pub struct Metrics {
    adds: Family<QueueLabels, Counter>,
    retries: Family<QueueLabels, Counter>,
    panics: Family<QueueLabels, Counter>,
    depth: Family<QueueLabels, Gauge>,
    waited: Family<QueueLabels, Histogram, fn() -> Histogram>,
    worked: Family<QueueLabels, Histogram, fn() -> Histogram>,
}

/// Upstream's buckets: powers of ten from 10 ns to 10 s.
fn histogram() -> Histogram {
    Histogram::new([1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            adds: Family::default(),
            retries: Family::default(),
            panics: Family::default(),
            depth: Family::default(),
            waited: Family::new_with_constructor(histogram),
            worked: Family::new_with_constructor(histogram),
        }
    }
}

impl Metrics {
    /// Metrics that `registry` shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("workqueue_adds", "Total number of adds handled by workqueue", metrics.adds.clone());
        registry.register("workqueue_retries", "Total number of retries handled by workqueue", metrics.retries.clone());
        registry.register("workqueue_depth", "Current depth of workqueue", metrics.depth.clone());
        let waited = "How long in seconds an item stays in workqueue before being requested";
        registry.register("workqueue_queue_duration_seconds", waited, metrics.waited.clone());
        let worked = "How long in seconds processing an item from workqueue takes";
        registry.register("workqueue_work_duration_seconds", worked, metrics.worked.clone());
        registry.register("keelson_reconcile_panics", "Reconciles that ended in a panic", metrics.panics.clone());
        metrics
    }

    /// The series of the queue `name`.
    pub(crate) fn queue(&self, name: &'static str) -> QueueMetrics {
        let labels = QueueLabels { name };
        QueueMetrics {
            adds: self.adds.get_or_create_owned(&labels),
            retries: self.retries.get_or_create_owned(&labels),
            panics: self.panics.get_or_create_owned(&labels),
            depth: self.depth.get_or_create_owned(&labels),
            waited: self.waited.get_or_create_owned(&labels),
            worked: self.worked.get_or_create_owned(&labels),
        }
    }
}

/// The metrics of one queue.
pub(crate) struct QueueMetrics {
    pub adds: Counter,
    pub retries: Counter,
    pub panics: Counter,
    pub depth: Gauge,
    waited: Histogram,
    worked: Histogram,
}

impl QueueMetrics {
    pub fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    pub fn worked(&self, time: Duration) {
        self.worked.observe(time.as_secs_f64());
    }
}
