//! How long plugins take, under upstream's names and labels.

use std::sync::OnceLock;
use std::time::Duration;

use machinery::ApiError;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use registry::Operation;

const SECONDS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    name: &'static str,
    #[prometheus(flatten)]
    step: StepLabels,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Times of plugins, and of all of them together.
pub(crate) struct Metrics {
    plugins: Histograms<PluginLabels>,
    steps: Histograms<StepLabels>,
}

/// The times of one plugin in one step, most of them found without their labels: every write passes some thirty plugins.
pub(crate) struct Timer {
    name: &'static str,
    step: Step,
    /// Of each operation, where nothing was refused.
    passed: [OnceLock<Histogram>; 4],
}

impl Timer {
    pub(crate) fn new(name: &'static str, step: Step) -> Self {
        Self { name, step, passed: Default::default() }
    }
}

/// The two things that are asked of plugins.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Admit,
    Validate,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            plugins: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            steps: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Admission controller latency histogram in seconds, identified by name";
        registry.register("apiserver_admission_controller_admission_duration_seconds", help, self.plugins.clone());
        let help = "Admission sub-step latency histogram in seconds";
        registry.register("apiserver_admission_step_admission_duration_seconds", help, self.steps.clone());
    }

    pub(crate) fn plugin<T>(&self, timer: &Timer, operation: Operation, outcome: &Result<T, ApiError>, took: Duration) {
        let step = labels(timer.step, operation, outcome.is_err());
        let find = || self.plugins.get_or_create(&PluginLabels { name: timer.name, step }).clone();
        match outcome {
            Ok(_) => timer.passed[operation as usize].get_or_init(find).observe(took.as_secs_f64()),
            Err(_) => find().observe(took.as_secs_f64()),
        }
    }

    pub(crate) fn step<T>(&self, (step, operation): (Step, Operation), outcome: &Result<T, ApiError>, took: Duration) {
        self.steps.get_or_create(&labels(step, operation, outcome.is_err())).observe(took.as_secs_f64());
    }
}

fn labels(step: Step, operation: Operation, rejected: bool) -> StepLabels {
    StepLabels {
        r#type: match step {
            Step::Admit => "admit",
            Step::Validate => "validate",
        },
        operation: crate::subject::operation(operation),
        rejected: if rejected { "true" } else { "false" },
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn plugins_are_timed_under_upstreams_names() {
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        let refused: Result<(), ApiError> = Err(ApiError::bad_request("no"));
        let timer = Timer::new("PodSecurity", Step::Validate);
        let took = Duration::from_millis(30);
        metrics.plugin(&timer, Operation::Create, &refused, took);
        metrics.plugin(&timer, Operation::Create, &Ok(()), took);
        metrics.step((Step::Validate, Operation::Create), &refused, took);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let step = r#"type="validate",operation="CREATE",rejected="true""#;
        let passed = step.replace("true", "false");
        for line in [
            format!(
                "apiserver_admission_controller_admission_duration_seconds_count{{name=\"PodSecurity\",{passed}}} 1"
            ),
            format!("apiserver_admission_controller_admission_duration_seconds_count{{name=\"PodSecurity\",{step}}} 1"),
            format!("apiserver_admission_step_admission_duration_seconds_bucket{{le=\"0.1\",{step}}} 1"),
        ] {
            assert!(text.contains(&line), "{text}");
        }
    }
}
