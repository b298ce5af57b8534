//! What is counted of webhooks, under upstream's names.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use registry::Operation;

use super::hook::Hook;
use crate::subject::operation as operation_name;

const SECONDS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
/// Codes above are counted as this.
const CODE_MAX: u16 = 600;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    code: u16,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rejection {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    error_type: &'static str,
    rejection_code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Condition {
    name: String,
    kind: &'static str,
    r#type: &'static str,
    operation: &'static str,
}

type Histograms = Family<Call, Histogram, fn() -> Histogram>;

/// The two kinds of webhooks, as labels call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Mutating,
    Validating,
}

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutating => "admit",
            Self::Validating => "validating",
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub code: u16,
    /// Why the request is refused by it; nothing if it is not.
    pub rejected: Option<&'static str>,
}

pub struct Metrics {
    seconds: Histograms,
    requests: Family<Request, Counter>,
    /// These two only ever grow, but are no counters to the printer, which would add to upstream's names.
    rejections: Family<Rejection, Gauge<u64, AtomicU64>>,
    fail_open: Family<Named, Gauge<u64, AtomicU64>>,
    condition_errors: Family<Condition, Counter>,
    condition_exclusions: Family<Condition, Counter>,
    broken: Family<Named, Gauge<u64, AtomicU64>>,
    skipped: Family<Named, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            requests: Family::default(),
            rejections: Family::default(),
            fail_open: Family::default(),
            condition_errors: Family::default(),
            condition_exclusions: Family::default(),
            broken: Family::default(),
            skipped: Family::default(),
        }
    }
}

impl Metrics {
    /// The printer adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Admission webhook latency histogram in seconds";
        registry.register("apiserver_admission_webhook_admission_duration_seconds", help, self.seconds.clone());
        let help = "Admission webhook requests";
        registry.register("apiserver_admission_webhook_request", help, self.requests.clone());
        let help = "Requests refused by admission webhooks";
        registry.register("apiserver_admission_webhook_rejection_count", help, self.rejections.clone());
        let help = "Failures of admission webhooks that were ignored";
        registry.register("apiserver_admission_webhook_fail_open_count", help, self.fail_open.clone());
        let help = "Match conditions that could not be evaluated";
        let name = "apiserver_admission_match_condition_evaluation_errors";
        registry.register(name, help, self.condition_errors.clone());
        let help = "Requests that match conditions excluded";
        registry.register("apiserver_admission_match_condition_exclusions", help, self.condition_exclusions.clone());
        let help = "Whether a webhook is taken to be broken, so that the cluster's own components do without it";
        registry.register("keelson_admission_webhook_broken", help, self.broken.clone());
        let help = "Requests of the cluster's own components that did without a broken webhook";
        registry.register("keelson_admission_webhook_skipped", help, self.skipped.clone());
    }

    pub fn called(&self, hook: &Hook, step: Step, operation: Operation, ended: Ended, took: Duration) {
        let (name, r#type, operation) = (hook.name.clone(), step.name(), operation_name(operation));
        let rejected = if ended.rejected.is_some() { "true" } else { "false" };
        let code = ended.code.min(CODE_MAX);
        if let Some(error_type) = ended.rejected {
            let rejection = Rejection { name: name.clone(), r#type, operation, error_type, rejection_code: code };
            self.rejections.get_or_create(&rejection).inc();
        }
        self.seconds
            .get_or_create(&Call { name: name.clone(), r#type, operation, rejected })
            .observe(took.as_secs_f64());
        self.requests.get_or_create(&Request { name, r#type, operation, code, rejected }).inc();
    }

    pub fn failed_open(&self, hook: &Hook, step: Step) {
        self.fail_open.get_or_create(&named(hook, step)).inc();
    }

    pub fn skipped(&self, hook: &Hook, step: Step) {
        self.skipped.get_or_create(&named(hook, step)).inc();
    }

    /// Shows a webhook as broken until what is answered is dropped.
    pub fn show_broken(&self, hook: &Hook, step: Step) -> Shown {
        Shown::by(&self.broken.get_or_create(&named(hook, step)))
    }

    pub fn condition_excluded(&self, hook: &Hook, step: Step, operation: Operation) {
        self.condition_exclusions.get_or_create(&condition(hook, step, operation)).inc();
    }

    pub fn condition_failed(&self, hook: &Hook, step: Step, operation: Operation) {
        self.condition_errors.get_or_create(&condition(hook, step, operation)).inc();
    }
}

/// A gauge that is one until this is dropped.
pub struct Shown(Gauge<u64, AtomicU64>);

impl Shown {
    pub fn by(gauge: &Gauge<u64, AtomicU64>) -> Self {
        gauge.set(1);
        Self(gauge.clone())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

fn named(hook: &Hook, step: Step) -> Named {
    Named { name: hook.name.clone(), r#type: step.name() }
}

fn condition(hook: &Hook, step: Step, operation: Operation) -> Condition {
    let (name, operation) = (hook.name.clone(), operation_name(operation));
    let r#type = match step {
        Step::Mutating => "admit",
        Step::Validating => "validate",
    };
    Condition { name, kind: "webhook", r#type, operation }
}
