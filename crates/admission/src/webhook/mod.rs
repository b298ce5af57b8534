//! Admission webhooks: servers that are asked about writes, and may change or refuse them.
//!
//! Those that mutate are asked one after the other in the order of their configurations' names, those that validate
//! all at once. [`breaker`] keeps one that fails for everything from locking out the cluster's own components.
//!
//! upstream: apiserver/pkg/admission/plugin/webhook

mod answer;
mod breaker;
mod clients;
mod event;
mod hook;
mod metrics;
mod patch;
mod review;
mod target;

use std::path::Path;
use std::sync::Arc;

use auth::view::Resource;
use auth::{Authorizer, KubeconfigUsers, View};
use futures::future::join_all;
use kinds::KindDef;
use machinery::field::{self, Path as FieldPath};
use machinery::{ApiError, Object};
use registry::Registry;
use serde_json::{Value, json};

use crate::cached::{Cached, Item};
use crate::conditions::Met;
use crate::configuration::hold_to;
use crate::inputs::Inputs;
use crate::reinvocation::Rounds;
use crate::subject::{Seen, Subject};
use answer::Answer;
use breaker::{Change, may_do_without};
use hook::Hook;
use metrics::{Ended, Metrics, Step};

pub(crate) use clients::Clients;
pub(crate) use target::Target;

const MUTATION: &str = "mutation.webhook.admission.k8s.io";
const PATCH: &str = "patch.webhook.admission.k8s.io";
const VALIDATION: &str = "validating.webhook.admission.k8s.io";
const KNOWN: [(&str, &str); 2] = [
    ("apiserver.config.k8s.io/v1", "WebhookAdmissionConfiguration"),
    ("apiserver.config.k8s.io/v1alpha1", "WebhookAdmission"),
];
const SKIPPED: &str = "skipped.webhook.admission.keelson.io";

/// The webhooks of a cluster.
pub struct Webhooks {
    view: Arc<dyn View>,
    authorizer: Arc<dyn Authorizer>,
    /// Of webhooks that mutate, and of those that validate: each shows itself as it is configured.
    mutating_clients: Clients,
    validating_clients: Clients,
    mutating: Cached<Vec<Hook>>,
    validating: Cached<Vec<Hook>>,
    metrics: Metrics,
}

/// Why a webhook did not let a request pass.
enum Failure {
    /// It could not be asked, or its answer was none.
    Calling {
        why: String,
        code: u16,
    },
    Refused(ApiError),
    /// The failure policy has no say in these.
    Own(ApiError),
}

/// One call: the webhook, as what, and where among the others.
struct Call<'a> {
    hook: &'a Hook,
    step: Step,
    kind: &'static KindDef,
    /// `round_0_index_0`
    place: String,
}

impl Webhooks {
    pub fn new(view: Arc<dyn View>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            mutating_clients: Clients::new(view.clone()),
            validating_clients: Clients::new(view.clone()),
            view,
            authorizer,
            mutating: Cached::new(Resource::MUTATING_WEBHOOK_CONFIGURATIONS, hook::compile),
            validating: Cached::new(Resource::VALIDATING_WEBHOOK_CONFIGURATIONS, hook::compile),
            metrics: Metrics::default(),
        }
    }

    /// As whom webhooks are called.
    pub fn known_as(mut self, mutating: KubeconfigUsers, validating: KubeconfigUsers) -> Self {
        self.mutating_clients = self.mutating_clients.known_as(mutating);
        self.validating_clients = self.validating_clients.known_as(validating);
        self
    }

    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.metrics.register(registry);
    }

    /// Asks those that mutate. `subject` is without the object, which changes on the way.
    pub async fn mutate(
        &self,
        registry: &Registry,
        subject: Subject<'_>,
        mut object: Option<&mut Object>,
        rounds: &mut Rounds,
    ) -> Result<(), ApiError> {
        if subject.is_exempt() {
            return Ok(());
        }
        let configurations = self.mutating.get(&*self.view);
        if configurations.is_empty() {
            return Ok(());
        }
        rounds.webhooks.begin(rounds.second, object.as_deref());
        for (index, hook) in hooks(&configurations).enumerate() {
            let asked = self.ask_to_mutate(registry, subject, hook, index, object.as_deref_mut(), rounds).await?;
            if asked == Some(true) {
                rounds.webhooks.changed();
                rounds.changed = true;
            }
            if asked.is_some() && hook.reinvocable {
                rounds.webhooks.was_asked(hook.key());
            }
        }
        rounds.webhooks.end(object.as_deref());
        Ok(())
    }

    /// Whether it changed the object; nothing if it was not asked.
    async fn ask_to_mutate(
        &self,
        registry: &Registry,
        subject: Subject<'_>,
        hook: &Hook,
        index: usize,
        object: Option<&mut Object>,
        rounds: &Rounds,
    ) -> Result<Option<bool>, ApiError> {
        let now = Subject { object: object.as_deref(), ..subject };
        let Some(kind) = self.wants(registry, hook, Step::Mutating, &now).await? else { return Ok(None) };
        if !rounds.webhooks.takes(rounds.second, &hook.key()) {
            return Ok(None);
        }
        let place = format!("round_{}_index_{index}", rounds.number());
        let call = Call { hook, step: Step::Mutating, kind, place };
        if self.does_without(&call, &now) {
            return Ok(None);
        }
        let seen = Seen::new(registry, &now, kind).await?;
        let begun = clock::monotonic();
        let patched = match self.ask(registry, &call, &now, &seen).await {
            Ok(answer) => patch::patched(registry, hook, &now, kind, &seen, answer.patch).await,
            Err(failure) => Err(failure),
        };
        self.end(&call, &now, patched.as_ref().err(), begun);
        let annotations = &subject.request.context.annotations;
        let changed = patched.as_ref().is_ok_and(|patched| patched.as_ref().is_some_and(|patched| patched.changed));
        let said = |more: Value| of_hook(hook, more).to_string();
        annotations.add(format!("{MUTATION}/{}", call.place), said(json!({"mutated": changed})));
        match self.settle(&call, &now, patched)?.flatten() {
            Some(patched) => {
                let told = said(json!({"patch": patched.patch, "patchType": "JSONPatch"}));
                annotations.add_of_body(format!("{PATCH}/{}", call.place), told);
                let changed = patched.changed;
                if let Some(object) = object {
                    *object = patched.object;
                }
                Ok(Some(changed))
            }
            None => Ok(Some(false)),
        }
    }

    /// Asks those that validate. Of several refusals the first by order is answered.
    pub async fn validate(&self, registry: &Registry, subject: Subject<'_>) -> Result<(), ApiError> {
        if subject.is_exempt() {
            return Ok(());
        }
        let configurations = self.validating.get(&*self.view);
        let mut calls = Vec::new();
        for hook in hooks(&configurations) {
            if let Some(kind) = self.wants(registry, hook, Step::Validating, &subject).await? {
                let place = format!("round_0_index_{}", calls.len());
                calls.push(Call { hook, step: Step::Validating, kind, place });
            }
        }
        let asking = calls.iter().map(|call| self.ask_to_validate(registry, call, &subject));
        join_all(asking).await.into_iter().collect()
    }

    async fn ask_to_validate(
        &self,
        registry: &Registry,
        call: &Call<'_>,
        subject: &Subject<'_>,
    ) -> Result<(), ApiError> {
        if self.does_without(call, subject) {
            return Ok(());
        }
        let seen = Seen::new(registry, subject, call.kind).await?;
        let begun = clock::monotonic();
        let asked = self.ask(registry, call, subject, &seen).await;
        self.end(call, subject, asked.as_ref().err(), begun);
        self.settle(call, subject, asked).map(drop)
    }

    /// The version as which the webhook wants to be asked about the request; nothing if it does not.
    async fn wants(
        &self,
        registry: &Registry,
        hook: &Hook,
        step: Step,
        subject: &Subject<'_>,
    ) -> Result<Option<&'static KindDef>, ApiError> {
        let Some(kind) = hook.matching.find(subject, &*self.view)? else { return Ok(None) };
        if hook.conditions.is_empty() {
            return Ok(Some(kind));
        }
        let seen = Seen::new(registry, subject, kind).await?;
        let inputs = Inputs::new(*subject, kind, seen.objects(), self.authorizer.clone());
        let operation = subject.request.operation;
        match hook.conditions.evaluate(&inputs) {
            Met::Yes => Ok(Some(kind)),
            Met::No => {
                self.metrics.condition_excluded(hook, step, operation);
                Ok(None)
            }
            Met::Unknown(why) => {
                self.metrics.condition_failed(hook, step, operation);
                let refusal = || ApiError::forbidden(&subject.request.kind.group_resource(), subject.name(), why);
                if hook.ignores_failures { Ok(None) } else { Err(refusal()) }
            }
        }
    }

    /// Whether the request passes without the webhook, which is broken.
    fn does_without(&self, call: &Call<'_>, subject: &Subject<'_>) -> bool {
        let hook = call.hook;
        let without = hook.breaker.is_open()
            && may_do_without(subject, hook.namespace.as_deref())
            && hook.breaker.skips(clock::monotonic());
        if without {
            self.skip(call, subject);
        }
        without
    }

    fn skip(&self, call: &Call<'_>, subject: &Subject<'_>) {
        self.metrics.skipped(call.hook, call.step);
        let key = format!("{SKIPPED}/{}_{}", call.step.name(), call.place);
        subject.request.context.annotations.add(key, call.hook.name.as_str());
    }

    async fn ask(
        &self,
        registry: &Registry,
        call: &Call<'_>,
        subject: &Subject<'_>,
        seen: &Seen<'_>,
    ) -> Result<Answer, Failure> {
        let Call { hook, step, kind, .. } = *call;
        if subject.request.context.dry_run && !hook.dry_run {
            let why = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(Failure::Own(ApiError::bad_request(why)));
        }
        let Some(version) = hook.version else {
            let why = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            return Err(Failure::Calling { why: why.to_owned(), code: 400 });
        };
        let unreachable =
            |why: &String| Failure::Calling { why: format!("could not get REST client: {why}"), code: 500 };
        let target = hook.target.as_ref().map_err(unreachable)?;
        let uid = clock::uuid();
        let review = review::ask(version, &uid, subject, kind, seen.objects());
        let clients = if step == Step::Mutating { &self.mutating_clients } else { &self.validating_clients };
        let answer = match clients.post(target, review, hook.timeout).await {
            Ok(answered) => answer::read(version, &uid, step == Step::Mutating, answered)
                .map_err(|why| Failure::Calling { why, code: 503 }),
            Err(::webhook::Error::Config(why)) => Err(unreachable(&why)),
            Err(error) => Err(Failure::Calling { why: format!("failed to call webhook: {error}"), code: code(&error) }),
        };
        self.watch_over(registry, call, answer.is_ok());
        let answer = answer?;
        let context = subject.request.context;
        for (key, value) in &answer.annotations {
            context.annotations.add(format!("{}/{key}", hook.name), value.as_str());
        }
        answer.warnings.iter().for_each(|warning| context.warnings.add(warning.as_str()));
        if answer.allowed { Ok(answer) } else { Err(Failure::Refused(refusal(&hook.name, &answer.status))) }
    }

    /// Tells the breaker how a call went, and others what came of that.
    fn watch_over(&self, registry: &Registry, call: &Call<'_>, answered: bool) {
        let breaker = &call.hook.breaker;
        let show = || self.metrics.show_broken(call.hook, call.step);
        let change = if answered { breaker.succeeded() } else { breaker.failed(clock::monotonic(), show) };
        if change != Change::None {
            event::tell(registry, call.hook, call.step, change);
        }
    }

    fn end(&self, call: &Call<'_>, subject: &Subject<'_>, failure: Option<&Failure>, begun: tokio::time::Instant) {
        let hook = call.hook;
        let ended = match failure {
            None => Ended { code: 200, rejected: None },
            Some(Failure::Calling { code, .. }) => {
                let passes = hook.ignores_failures || self.forgives(call, subject);
                Ended { code: *code, rejected: (!passes).then_some("calling_webhook_error") }
            }
            Some(Failure::Refused(error)) => Ended { code: error.code(), rejected: Some("no_error") },
            Some(Failure::Own(_)) => Ended { code: 0, rejected: Some("apiserver_internal_error") },
        };
        self.metrics.called(hook, call.step, subject.request.operation, ended, begun.elapsed());
    }

    /// Whether a failure is let pass though the failure policy says otherwise.
    fn forgives(&self, call: &Call<'_>, subject: &Subject<'_>) -> bool {
        call.hook.breaker.is_open() && may_do_without(subject, call.hook.namespace.as_deref())
    }

    /// What came of a call; nothing where it failed and that is let pass.
    fn settle<T>(
        &self,
        call: &Call<'_>,
        subject: &Subject<'_>,
        outcome: Result<T, Failure>,
    ) -> Result<Option<T>, ApiError> {
        let hook = call.hook;
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(Failure::Refused(error) | Failure::Own(error)) => Err(error),
            Err(Failure::Calling { why, .. }) => {
                let why = format!("failed calling webhook {:?}: {why}", hook.name);
                if hook.ignores_failures {
                    tracing::warn!(webhook = hook.name, %why, "failing open");
                    self.metrics.failed_open(hook, call.step);
                    let prefix = if call.step == Step::Mutating { MUTATION } else { VALIDATION };
                    let key = format!("failed-open.{prefix}/{}", call.place);
                    subject.request.context.annotations.add(key, hook.name.as_str());
                    return Ok(None);
                }
                if self.forgives(call, subject) {
                    self.skip(call, subject);
                    return Ok(None);
                }
                tracing::warn!(webhook = hook.name, %why, "failing closed");
                Err(ApiError::internal(why))
            }
        }
    }
}

/// Reads a WebhookAdmissionConfiguration: as whom webhooks are called.
///
/// upstream: apiserver/pkg/admission/plugin/webhook/config/kubeconfig.go
pub fn users(config: &Value) -> Result<KubeconfigUsers, String> {
    hold_to(config, &KNOWN)?;
    let path = config["kubeConfigFile"].as_str().unwrap_or_default();
    if !path.starts_with('/') {
        let field = FieldPath::new("kubeConfigFile");
        return Err(field::Error::invalid(&field, path, "must be an absolute file path").to_string());
    }
    KubeconfigUsers::read(Path::new(path)).map_err(|error| error.to_string())
}

/// As metrics count it.
fn code(error: &::webhook::Error) -> u16 {
    if let ::webhook::Error::Status { code, .. } = error { code.as_u16() } else { 503 }
}

fn hooks(configurations: &[Arc<Item<Vec<Hook>>>]) -> impl Iterator<Item = &Hook> {
    configurations.iter().flat_map(|configuration| &configuration.value)
}

/// `more`, led by the webhook and its configuration.
fn of_hook(hook: &Hook, mut more: Value) -> Value {
    more["configuration"] = json!(hook.configuration);
    more["webhook"] = json!(hook.name);
    more
}

/// upstream: webhook/errors/statuserror.go
fn refusal(name: &str, status: &Value) -> ApiError {
    let denied = format!("admission webhook {name:?} denied the request");
    let text = |field: &str| status[field].as_str().filter(|text| !text.is_empty());
    let message = match text("message").or_else(|| text("reason")) {
        Some(why) => format!("{denied}: {why}"),
        None => format!("{denied} without explanation"),
    };
    let code =
        status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).filter(|code| (400..1000).contains(code));
    ApiError::answered(status, message, code.unwrap_or(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_refused() {
        for (status, code, message) in [
            (Value::Null, 400, "admission webhook \"guard.example\" denied the request without explanation"),
            (json!({"message": "no"}), 400, "admission webhook \"guard.example\" denied the request: no"),
            (
                json!({"reason": "Forbidden", "code": 403}),
                403,
                "admission webhook \"guard.example\" denied the request: Forbidden",
            ),
            (json!({"code": 200}), 400, "admission webhook \"guard.example\" denied the request without explanation"),
        ] {
            let error = refusal("guard.example", &status);
            assert_eq!((error.code(), error.message.as_str()), (code, message), "{status}");
        }
    }
}
