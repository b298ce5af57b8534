//! An authorizer that asks a webhook. (upstream: plugin/pkg/authorizer/webhook)

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::config::{ConfigError, WebhookOptions};
use crate::authz::reviews::spec_of;
use crate::authz::{Attributes, Authorizer, Decision};
use crate::cache::Cache;
use crate::kubeconfig::Endpoint;
use crate::metrics::METRICS;
use crate::retry;

const REMEMBERED_MAX: usize = 8192;
/// Questions whose words are longer are not remembered: they would fill the memory.
const REMEMBERED_BYTES_MAX: usize = 10_000;

/// Threads that may wait at once: each is one of those that answer requests, and has another started in its place.
const WAITING_MAX: usize = 64;

pub struct Webhook {
    name: String,
    endpoint: Endpoint,
    options: WebhookOptions,
    waiting: Semaphore,
    /// By the spec of the review, as text.
    answers: Cache<String, Decision>,
}

impl Webhook {
    pub fn new(name: &str, options: WebhookOptions) -> Result<Self, ConfigError> {
        let endpoint = Endpoint::read(&options.kubeconfig)?;
        Ok(Self {
            name: name.to_owned(),
            endpoint,
            options,
            waiting: Semaphore::new(WAITING_MAX),
            answers: Cache::new(REMEMBERED_MAX),
        })
    }

    /// Without asking, where that is possible.
    fn known(&self, spec: &Value, key: &String) -> Option<Decision> {
        let begun = clock::monotonic();
        let held = self.options.conditions.hold(spec);
        if !self.options.conditions.is_empty() {
            METRICS.conditions(&self.name, &held, begun.elapsed());
        }
        match held {
            Ok(true) => self.answers.get(key),
            Ok(false) => Some(Decision::NoOpinion(String::new())),
            Err(why) => Some(self.failed(why)),
        }
    }

    fn failed(&self, why: String) -> Decision {
        Decision::Failed { why, denies: self.options.failure_denies }
    }

    async fn ask(&self, spec: Value, key: String, cacheable: bool) -> Decision {
        let review = json!({
            "apiVersion": format!("authorization.k8s.io/{}", self.options.version),
            "kind": "SubjectAccessReview",
            "metadata": {"creationTimestamp": null},
            "spec": self.versioned(spec),
            "status": {"allowed": false},
        });
        let begun = clock::monotonic();
        let reviewed = retry::with_backoff(|| self.endpoint.post(&review, self.options.timeout)).await;
        let outcome = match &reviewed {
            Ok(_) => "success",
            Err(::webhook::Error::Timeout { .. }) => "timeout",
            Err(_) => "error",
        };
        let fails_open = reviewed.is_err() && !self.options.failure_denies;
        METRICS.asked(&self.name, outcome, fails_open, begun.elapsed());
        let reviewed = match reviewed {
            Ok(reviewed) => reviewed,
            Err(error) => {
                tracing::error!(%error, "Failed to make webhook authorizer request");
                return self.failed(error.to_string());
            }
        };
        let decision = read(&reviewed["status"]);
        let allowed = decision.allowed();
        if cacheable && !matches!(decision, Decision::Failed { .. }) {
            let lifetime = if allowed { self.options.authorized_ttl } else { self.options.unauthorized_ttl };
            self.answers.put(key, decision.clone(), lifetime);
        }
        decision
    }

    /// The groups of a user have another name in v1beta1.
    fn versioned(&self, mut spec: Value) -> Value {
        if self.options.version == "v1beta1"
            && let Some(spec) = spec.as_object_mut()
            && let Some(groups) = spec.remove("groups")
        {
            spec.insert("group".to_owned(), groups);
        }
        spec
    }
}

fn read(status: &Value) -> Decision {
    let is = |field: &str| status[field] == json!(true);
    let reason = status["reason"].as_str().unwrap_or_default().to_owned();
    match (is("denied"), is("allowed")) {
        (true, true) => Decision::Failed {
            why: "webhook subject access review returned both allow and deny response".to_owned(),
            denies: true,
        },
        (true, false) => Decision::Deny(reason),
        (false, true) => Decision::Allow(reason),
        (false, false) => Decision::NoOpinion(reason),
    }
}

#[async_trait]
impl Authorizer for Webhook {
    /// Waits on this thread, while others take over what else it had to do. Where too many wait already, it fails.
    fn authorize(&self, attributes: &Attributes) -> Decision {
        let spec = spec_of(attributes);
        if let Some(decision) = self.known(&spec, &spec.to_string()) {
            return decision;
        }
        let Ok(_waits) = self.waiting.try_acquire() else {
            return self.failed(format!("{WAITING_MAX} requests wait for the authorization webhook already"));
        };
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| handle.block_on(self.decide(attributes)))
    }

    async fn decide(&self, attributes: &Attributes) -> Decision {
        let spec = spec_of(attributes);
        let key = spec.to_string();
        match self.known(&spec, &key) {
            Some(decision) => decision,
            None => {
                let cacheable = key.len() < REMEMBERED_BYTES_MAX;
                self.ask(spec, key, cacheable).await
            }
        }
    }
}
