//! What is counted of policies, under upstream's names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::conditions::OUT_OF_BUDGET;

const SECONDS: [f64; 5] = [0.0000005, 0.001, 0.01, 0.1, 1.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Check {
    policy: String,
    policy_binding: String,
    error_type: &'static str,
    enforcement_action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Mutation {
    policy: String,
    policy_binding: String,
    error_type: &'static str,
}

pub struct Metrics {
    checks: Family<Check, Counter>,
    seconds: Family<Check, Histogram, fn() -> Histogram>,
    mutations: Family<Mutation, Counter>,
    mutation_seconds: Family<Mutation, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            checks: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            mutations: Family::default(),
            mutation_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        }
    }
}

impl Metrics {
    /// The printer adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Validation admission policy checks, by policy, binding and enforcement action";
        registry.register("apiserver_validating_admission_policy_check", help, self.checks.clone());
        let help = "Validation admission latency in seconds, by policy, binding and enforcement action";
        registry.register("apiserver_validating_admission_policy_check_duration_seconds", help, self.seconds.clone());
        let help = "Mutation admission policy checks, by policy and binding";
        registry.register("apiserver_mutating_admission_policy_check", help, self.mutations.clone());
        let help = "Mutation admission latency in seconds, by policy and binding";
        let name = "apiserver_mutating_admission_policy_check_duration_seconds";
        registry.register(name, help, self.mutation_seconds.clone());
    }

    /// `action` is what came of it: `allow`, `deny`, `audit`, `warn`.
    pub fn checked(&self, policy: &str, binding: &str, message: &str, action: &'static str, took: Duration) {
        let check = Check {
            policy: policy.to_owned(),
            policy_binding: binding.to_owned(),
            error_type: error_type(message),
            enforcement_action: action,
        };
        self.checks.get_or_create(&check).inc();
        self.seconds.get_or_create(&check).observe(took.as_secs_f64());
    }

    /// `why` says what went wrong, if anything did.
    pub fn mutated(&self, policy: &str, binding: &str, why: Option<&str>, took: Duration) {
        let mutation = Mutation {
            policy: policy.to_owned(),
            policy_binding: binding.to_owned(),
            error_type: why.map_or("no_error", error_type),
        };
        self.mutations.get_or_create(&mutation).inc();
        self.mutation_seconds.get_or_create(&mutation).observe(took.as_secs_f64());
    }
}

fn error_type(message: &str) -> &'static str {
    match message {
        _ if message.starts_with("compilation") => "compile_error",
        _ if message.starts_with(OUT_OF_BUDGET) => "out_of_budget",
        _ => "invalid_error",
    }
}
