//! Admission policies: expressions in the cluster itself that decide about writes.
//!
//! A policy is compiled once for each version of it. Its bindings say where it holds, with which parameters, and what
//! follows from a failure.
//!
//! upstream: apiserver/pkg/admission/plugin/policy

mod frame;
mod metrics;
mod mutating;
mod params;
mod scope;
mod select;
mod validating;

use std::collections::BTreeMap;
use std::sync::Arc;

use auth::view::Resource;
use auth::{Authorizer, View};
use kinds::KindDef;
use machinery::error::Answered;
use machinery::{ApiError, Cause, GroupResource, Object, Reason};
use registry::Registry;
use serde_json::{Value, json};

use crate::cached::Cached;
use crate::changed;
use crate::conditions::Met;
use crate::inputs::Inputs;
use crate::reinvocation::Rounds;
use crate::subject::{Seen, Subject};
use frame::{Action, Binding, Frame};
use metrics::Metrics;
use select::{Invocation, Misconfigured, Selected, select};
use validating::{Decision, Verdict};

const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";
/// Failures that one audit annotation tells of.
const FAILURES_MAX: usize = 50;
const ANNOTATION_MAX: usize = 10 * 1024;

/// The policies of a cluster.
pub struct Policies {
    view: Arc<dyn View>,
    authorizer: Arc<dyn Authorizer>,
    mutating: Cached<mutating::Policy>,
    mutating_bindings: Cached<Binding>,
    validating: Cached<validating::Policy>,
    validating_bindings: Cached<Binding>,
    metrics: Metrics,
}

/// As what a policy that mutates looks at a request.
struct Look<'a> {
    registry: &'a Registry,
    subject: Subject<'a>,
    kind: &'static KindDef,
    params: Option<&'a Object>,
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
            mutating: Cached::new(Resource::MUTATING_ADMISSION_POLICIES, mutating::compile),
            mutating_bindings: Cached::new(Resource::MUTATING_ADMISSION_POLICY_BINDINGS, Binding::compile),
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
        if bindings.is_empty() || subject.is_exempt_from_policies() {
            return Ok(());
        }
        let policies = self.validating.get(&*self.view);
        let selected = select(registry, &*self.view, &subject, &policies, &bindings).await;
        self.check_namespace(&subject, &selected)?;
        let mut findings = Findings::default();
        for selected in selected {
            match selected {
                Ok(invocation) => self.ask(registry, &subject, &invocation, &mut findings).await?,
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

    /// Has policies change the object. `subject` is without it, as it changes on the way.
    pub async fn mutate(
        &self,
        registry: &Registry,
        subject: Subject<'_>,
        object: Option<&mut Object>,
        rounds: &mut Rounds,
    ) -> Result<(), ApiError> {
        let bindings = self.mutating_bindings.get(&*self.view);
        let Some(object) = object.filter(|_| !bindings.is_empty() && !subject.is_exempt_from_policies()) else {
            return Ok(());
        };
        let policies = self.mutating.get(&*self.view);
        let now = Subject { object: Some(object), ..subject };
        let selected = select(registry, &*self.view, &now, &policies, &bindings).await;
        self.check_namespace(&now, &selected)?;
        rounds.policies.begin(rounds.second, Some(object));
        let mut problems = Problems::default();
        for selected in selected {
            match selected {
                Ok(invocation) => self.change(registry, subject, &invocation, object, rounds, &mut problems).await?,
                Err(misconfigured) => problems.misconfigured(&misconfigured),
            }
        }
        rounds.policies.end(Some(object));
        problems.tell(&Subject { object: Some(object), ..subject })
    }

    /// Whatever policies say of failures, none is asked about what is in no namespace that there is.
    fn check_namespace<P>(&self, subject: &Subject<'_>, selected: &Selected<'_, P>) -> Result<(), ApiError> {
        let name = subject.request.namespace;
        let is_there = || self.view.field(Resource::NAMESPACES, "", name, "metadata.name").is_some();
        if name.is_empty() || selected.iter().all(Result::is_err) || is_there() {
            return Ok(());
        }
        Err(ApiError::not_found(&GroupResource::new("", "namespaces"), name))
    }

    async fn change(
        &self,
        registry: &Registry,
        subject: Subject<'_>,
        invocation: &Invocation<'_, mutating::Policy>,
        object: &mut Object,
        rounds: &mut Rounds,
        problems: &mut Problems,
    ) -> Result<(), ApiError> {
        let Invocation { policy, binding, kind, params } = invocation;
        let frame = &policy.frame;
        let look = Look { registry, subject, kind, params: params.as_ref() };
        let met = self.seeing(&look, object, |_, inputs| frame.conditions.evaluate(inputs));
        match met.await? {
            Met::Yes => {}
            Met::No => return Ok(()),
            Met::Unknown(why) => {
                problems.add(frame, Some(binding), &why, true);
                return Ok(());
            }
        }
        if !rounds.policies.takes(rounds.second, &invocation.key()) {
            return Ok(());
        }
        let before = object.clone();
        for mutation in &policy.mutations {
            let begun = clock::monotonic();
            let changed = self.seeing(&look, object, |now, inputs| mutation.apply(frame, now, kind, inputs)).await?;
            let changed = match changed {
                Ok(Some(changed)) => {
                    let now = Subject { object: Some(object), ..subject };
                    let taken = changed::taken_over(registry, &now, kind, changed).await;
                    taken.map(Some).map_err(|error| error.message)
                }
                other => other,
            };
            let why = changed.as_ref().err();
            self.metrics.mutated(&frame.name, &binding.name, why.map(String::as_str), begun.elapsed());
            match changed {
                Ok(Some(changed)) => *object = changed,
                Ok(None) => {}
                Err(why) => problems.add(frame, Some(binding), &why, true),
            }
        }
        if *object != before {
            rounds.policies.changed();
            rounds.changed = true;
        }
        if policy.reinvocable {
            rounds.policies.was_asked(invocation.key());
        }
        Ok(())
    }

    /// Looks at the object as it is now.
    async fn seeing<T>(
        &self,
        look: &Look<'_>,
        object: &Object,
        at: impl FnOnce(&Subject<'_>, &Inputs<'_>) -> T,
    ) -> Result<T, ApiError> {
        let now = Subject { object: Some(object), ..look.subject };
        let seen = Seen::new(look.registry, &now, look.kind).await?;
        let inputs = Inputs::new(now, look.kind, seen.objects(), self.authorizer.clone());
        Ok(at(&now, &inputs.with_namespaces(&*self.view).with_params(look.params)))
    }

    async fn ask(
        &self,
        registry: &Registry,
        subject: &Subject<'_>,
        invocation: &Invocation<'_, validating::Policy>,
        findings: &mut Findings,
    ) -> Result<(), ApiError> {
        let Invocation { policy, binding, kind, params } = invocation;
        let seen = Seen::new(registry, subject, kind).await?;
        let inputs = Inputs::new(*subject, kind, seen.objects(), self.authorizer.clone())
            .with_namespaces(&*self.view)
            .with_params(params.as_ref());
        let begun = clock::monotonic();
        let verdict = policy.evaluate(&inputs);
        let took = begun.elapsed();
        let count =
            |message: &str, action| self.metrics.checked(&policy.frame.name, &binding.name, message, action, took);
        findings.add(subject, &policy.frame, binding, verdict, &count);
        Ok(())
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

/// Why mutating policies refuse; upstream gives the first one's reason and all their messages.
#[derive(Default)]
struct Problems(Vec<(String, bool)>);

impl Problems {
    /// `invalid` tells failures of expressions from those of the configuration.
    fn add(&mut self, policy: &Frame, binding: Option<&Binding>, why: &str, invalid: bool) {
        if policy.ignores_failures {
            return;
        }
        let name = &policy.name;
        let message = match binding {
            Some(binding) => format!("policy '{name}' with binding '{}' denied request: {why}", binding.name),
            None => format!("policy {name:?} denied request: {why}"),
        };
        self.0.push((message, invalid));
    }

    fn misconfigured(&mut self, misconfigured: &Misconfigured<'_>) {
        self.add(misconfigured.policy, misconfigured.binding, &misconfigured.message(), false);
    }

    fn tell(self, subject: &Subject<'_>) -> Result<(), ApiError> {
        let Some((message, invalid)) = self.0.first() else { return Ok(()) };
        let mut error = subject.forbidden("");
        error.message.clone_from(message);
        let details = error.details.get_or_insert_default();
        let cause = |message: &String| Cause { reason: String::new(), message: message.clone(), field: String::new() };
        details.causes.extend(self.0.iter().map(|(message, _)| cause(message)));
        if *invalid {
            // Upstream changes the reason and leaves the code.
            details.answered = Some(Answered { code: error.reason.code(), reason: Reason::Invalid.name().to_owned() });
        }
        Err(error)
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
