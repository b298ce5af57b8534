//! `apiserver_flowcontrol_*`, under upstream's names and labels.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::shares::Seats;

const SECONDS: [f64; 14] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0];
const LENGTHS: [f64; 9] = [0.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0];
const SEATS: [f64; 4] = [1.0, 2.0, 4.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabel {
    priority_level: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FlowLabels {
    priority_level: String,
    flow_schema: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    priority_level: String,
    flow_schema: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    priority_level: String,
    flow_schema: String,
    execute: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExecutionLabels {
    priority_level: String,
    flow_schema: String,
    r#type: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

pub(super) struct FairnessMetrics {
    dispatched: Family<FlowLabels, Counter>,
    rejected: Family<RejectedLabels, Counter>,
    queued: Family<FlowLabels, Gauge>,
    executing: Family<FlowLabels, Gauge>,
    executing_seats: Family<FlowLabels, Gauge>,
    queue_length: Histograms<FlowLabels>,
    estimated_seats: Histograms<FlowLabels>,
    waited: Histograms<WaitLabels>,
    execution: Histograms<ExecutionLabels>,
    nominal: Family<LevelLabel, Gauge>,
    lower: Family<LevelLabel, Gauge>,
    upper: Family<LevelLabel, Gauge>,
}

/// The metrics of one schema, looked up once.
pub(crate) struct Counters {
    pub dispatched: Counter,
    pub queued: Gauge,
    pub executing: Gauge,
    pub executing_seats: Gauge,
    pub queue_length: Histogram,
    pub estimated_seats: Histogram,
    pub execution: Histogram,
    served_after: Histogram,
    given_up_after: Histogram,
    rejections: Family<RejectedLabels, Counter>,
    labels: FlowLabels,
}

impl Counters {
    pub fn waited(&self, served: bool) -> &Histogram {
        if served { &self.served_after } else { &self.given_up_after }
    }

    pub fn rejected(&self, reason: &'static str) {
        let FlowLabels { priority_level, flow_schema } = self.labels.clone();
        self.rejections.get_or_create(&RejectedLabels { priority_level, flow_schema, reason }).inc();
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn histograms<L: Clone + std::hash::Hash + Eq>(make: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(make)
}

/// One metric of a family. The family's lock is held no longer than this takes.
fn of<L, M, C>(family: &Family<L, M, C>, labels: &L) -> M
where
    L: Clone + std::hash::Hash + Eq,
    M: Clone,
    C: MetricConstructor<M>,
{
    family.get_or_create(labels).clone()
}

impl FairnessMetrics {
    pub fn register(shown: &mut Registry) -> Self {
        let metrics = Self {
            dispatched: Family::default(),
            rejected: Family::default(),
            queued: Family::default(),
            executing: Family::default(),
            executing_seats: Family::default(),
            queue_length: histograms(|| Histogram::new(LENGTHS)),
            estimated_seats: histograms(|| Histogram::new(SEATS)),
            waited: histograms(seconds),
            execution: histograms(seconds),
            nominal: Family::default(),
            lower: Family::default(),
            upper: Family::default(),
        };
        let shown = shown.sub_registry_with_prefix("apiserver_flowcontrol");
        // The printer adds `_total` to counters.
        shown.register("dispatched_requests", "Requests that were served", metrics.dispatched.clone());
        shown.register("rejected_requests", "Requests that were turned away", metrics.rejected.clone());
        shown.register("current_inqueue_requests", "Requests that wait", metrics.queued.clone());
        shown.register("current_executing_requests", "Requests that are served", metrics.executing.clone());
        shown.register("current_executing_seats", "Seats that are taken", metrics.executing_seats.clone());
        let help = "Length of a request's queue after it joined";
        shown.register("request_queue_length_after_enqueue", help, metrics.queue_length.clone());
        shown.register("work_estimated_seats", "Seats that a request takes", metrics.estimated_seats.clone());
        shown.register("request_wait_duration_seconds", "Time that a request waited", metrics.waited.clone());
        shown.register("request_execution_seconds", "Time that a request was served", metrics.execution.clone());
        shown.register("nominal_limit_seats", "Seats of a level by its shares", metrics.nominal.clone());
        shown.register("lower_limit_seats", "Seats that a level does not lend", metrics.lower.clone());
        shown.register("upper_limit_seats", "Seats that a level may take at most", metrics.upper.clone());
        metrics
    }

    pub fn show_limits(&self, level: &str, seats: Seats) {
        let label = LevelLabel { priority_level: level.to_owned() };
        self.nominal.get_or_create(&label).set(seats.nominal.into());
        self.lower.get_or_create(&label).set(seats.guaranteed.into());
        self.upper.get_or_create(&label).set(seats.most.into());
    }

    pub fn counters(&self, level: &str, schema: &str) -> Counters {
        let (priority_level, flow_schema) = (level.to_owned(), schema.to_owned());
        let labels = FlowLabels { priority_level: priority_level.clone(), flow_schema: flow_schema.clone() };
        let waited =
            |execute| WaitLabels { priority_level: priority_level.clone(), flow_schema: flow_schema.clone(), execute };
        let execution = ExecutionLabels {
            priority_level: priority_level.clone(),
            flow_schema: flow_schema.clone(),
            r#type: "regular",
        };
        Counters {
            dispatched: of(&self.dispatched, &labels),
            queued: of(&self.queued, &labels),
            executing: of(&self.executing, &labels),
            executing_seats: of(&self.executing_seats, &labels),
            queue_length: of(&self.queue_length, &labels),
            estimated_seats: of(&self.estimated_seats, &labels),
            execution: of(&self.execution, &execution),
            served_after: of(&self.waited, &waited("true")),
            given_up_after: of(&self.waited, &waited("false")),
            rejections: self.rejected.clone(),
            labels,
        }
    }
}
