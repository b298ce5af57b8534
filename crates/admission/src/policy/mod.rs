//! Admission policies: expressions in the cluster itself that decide about writes.
//!
//! A policy is compiled once for each version of it. Its bindings say where it holds, with which parameters, and what
//! follows from a failure.
//!
//! upstream: apiserver/pkg/admission/plugin/policy

mod frame;
mod metrics;
mod params;
mod scope;
mod select;
mod validating;

use std::collections::BTreeMap;
use std::sync::Arc;

use auth::view::Resource;
use auth::{Authorizer, View};
use machinery::{ApiError, Cause, Object, Reason};
use registry::Registry;
use serde_json::{Value, json};

use crate::cached::Cached;
use crate::inputs::Inputs;
use crate::subject::{Seen, Subject};
use frame::{Action, Binding, Frame};
use metrics::Metrics;
use select::{Invocation, select};
use validating::{Decision, Policy, Verdict};

const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";
/// Failures that one audit annotation tells of.
const FAILURES_MAX: usize = 50;
const ANNOTATION_MAX: usize = 10 * 1024;

/// The policies of a cluster.
pub struct Policies {
    view: Arc<dyn View>,
    authorizer: Arc<dyn Authorizer>,
    validating: Cached<Policy>,
    validating_bindings: Cached<Binding>,
    metrics: Metrics,
}

/// The first policy that refuses decides what is answered.
struct Denial {
    message: String,
    reason: Reason,
}

/// What is collected over all policies.
#[derive(Default)]
struct Findings {
    denials: Vec<Denial>,
    /// For the audit log.
    failures: Vec<Value>,
    /// Of each policy, by key: one value, or several that differ.
    annotations: BTreeMap<String, Vec<String>>,
}

impl Policies {
    pub fn new(view: Arc<dyn View>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            view,
            authorizer,
            validating: Cached::new(Resource::VALIDATING_ADMISSION_POLICIES, validating::compile),
            validating_bindings: Cached::new(Resource::VALIDATING_ADMISSION_POLICY_BINDINGS, Binding::compile),
            metrics: Metrics::default(),
        }
    }

    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.metrics.register(registry);
    }

    pub async fn validate(&self, registry: &Registry, subject: Subject<'_>) -> Result<(), ApiError> {
        let bindings = self.validating_bindings.get(&*self.view);
        if bindings.is_empty() || subject.is_exempt() {
            return Ok(());
        }
        let policies = self.validating.get(&*self.view);
        let selected = select(registry, &*self.view, &subject, (&policies, &bindings), |policy| &policy.frame).await;
        let mut findings = Findings::default();
        for selected in selected {
            match selected {
                Ok(invocation) => self.ask(&subject, &invocation, &mut findings)?,
                Err(misconfigured) if misconfigured.policy.ignores_failures => {}
                Err(misconfigured) => {
                    let message = misconfigured.message();
                    let denial = denial(misconfigured.policy, misconfigured.binding, &message, Reason::Invalid);
                    findings.denials.push(denial);
                }
            }
        }
        findings.tell(&subject)
    }

    fn ask(
        &self,
        subject: &Subject<'_>,
        invocation: &Invocation<'_, Policy>,
        findings: &mut Findings,
    ) -> Result<(), ApiError> {
        let Invocation { policy, binding, kind, params } = invocation;
        let seen = Seen::new(subject, kind);
        let namespace = self.namespace(subject)?;
        let inputs = Inputs::new(*subject, kind, seen.objects(), self.authorizer.clone())
            .with_namespace(namespace.as_ref())
            .with_params(params.as_ref());
        let begun = clock::monotonic();
        let verdict = policy.evaluate(&inputs);
        let took = begun.elapsed();
        let count =
            |message: &str, action| self.metrics.checked(&policy.frame.name, &binding.name, message, action, took);
        findings.add(subject, &policy.frame, binding, verdict, &count);
        Ok(())
    }

    /// The request's namespace; none for what lies in none, Namespaces among them.
    fn namespace(&self, subject: &Subject<'_>) -> Result<Option<Object>, ApiError> {
        let name = subject.request.namespace;
        if name.is_empty() {
            return Ok(None);
        }
        let found = self.view.get(Resource::NAMESPACES, "", name);
        found.map(Some).ok_or_else(|| ApiError::not_found(&machinery::GroupResource::new("", "namespaces"), name))
    }
}

impl Findings {
    fn add(
        &mut self,
        subject: &Subject<'_>,
        policy: &Frame,
        binding: &Binding,
        verdict: Verdict,
        count: &dyn Fn(&str, &'static str),
    ) {
        for (index, decision) in verdict.decisions.into_iter().enumerate() {
            match decision {
                Decision::Admit => {}
                Decision::Ignore { message } => count(&message, "allow"),
                Decision::Deny { message, reason } => {
                    for action in &binding.actions {
                        match action {
                            Action::Deny => {
                                self.denials.push(denial(policy, Some(binding), &message, reason));
                                count(&message, "deny");
                            }
                            Action::Audit => {
                                self.failures.push(failure(policy, binding, index, &message));
                                count(&message, "audit");
                            }
                            Action::Warn => {
                                let (policy, binding) = (&policy.name, &binding.name);
                                subject.request.context.warnings.add(format!(
                                    "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {message}"
                                ));
                                count(&message, "warn");
                            }
                        }
                    }
                }
            }
        }
        for (key, mut value) in verdict.annotations {
            value.truncate(value.floor_char_boundary(ANNOTATION_MAX));
            let values = self.annotations.entry(format!("{}/{key}", policy.name)).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
        for message in verdict.failed_annotations {
            self.denials.push(denial(policy, Some(binding), &message, Reason::Invalid));
            count(&message, "deny");
        }
    }

    fn tell(mut self, subject: &Subject<'_>) -> Result<(), ApiError> {
        let annotations = &subject.request.context.annotations;
        for (key, values) in self.annotations {
            annotations.add(key, values.join(", "));
        }
        if !self.failures.is_empty() {
            self.failures.truncate(FAILURES_MAX);
            annotations.add(FAILURES, Value::Array(self.failures).to_string());
        }
        match self.denials.into_iter().next() {
            Some(Denial { message, reason }) => {
                let mut error = subject.forbidden(&message);
                error.reason = reason;
                let cause = Cause { reason: String::new(), message, field: String::new() };
                error.details.get_or_insert_default().causes.push(cause);
                Err(error)
            }
            None => Ok(()),
        }
    }
}

fn denial(policy: &Frame, binding: Option<&Binding>, message: &str, reason: Reason) -> Denial {
    let name = &policy.name;
    let message = match binding {
        Some(binding) => {
            format!("ValidatingAdmissionPolicy '{name}' with binding '{}' denied request: {message}", binding.name)
        }
        None => format!("ValidatingAdmissionPolicy '{name}' denied request: {message}"),
    };
    Denial { message, reason }
}

fn failure(policy: &Frame, binding: &Binding, index: usize, message: &str) -> Value {
    let actions: Vec<&str> = binding.actions.iter().map(|action| action.name()).collect();
    json!({
        "message": message, "policy": policy.name, "binding": binding.name, "expressionIndex": index,
        "validationActions": actions,
    })
}
