//! An authorizer that asks a webhook. (upstream: plugin/pkg/authorizer/webhook)

use async_trait::async_trait;
use serde_json::{Value, json};

use super::config::{ConfigError, WebhookOptions};
use crate::authz::reviews::spec_of;
use crate::authz::{Attributes, Authorizer, Decision};
use crate::cache::Cache;
use crate::kubeconfig::Endpoint;
use crate::retry;

const REMEMBERED_MAX: usize = 8192;
/// Questions whose words are longer are not remembered: they would fill the memory.
const REMEMBERED_BYTES_MAX: usize = 10_000;

pub struct Webhook {
    endpoint: Endpoint,
    options: WebhookOptions,
    /// By the spec of the review, as text.
    answers: Cache<String, Decision>,
}

impl Webhook {
    pub fn new(options: WebhookOptions) -> Result<Self, ConfigError> {
        let endpoint = Endpoint::read(&options.kubeconfig)?;
        Ok(Self { endpoint, options, answers: Cache::new(REMEMBERED_MAX) })
    }

    /// Without asking, where that is possible.
    fn known(&self, spec: &Value, key: &String) -> Option<Decision> {
        match self.options.conditions.hold(spec) {
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
        let reviewed = retry::with_backoff(|| self.endpoint.post(&review, self.options.timeout)).await;
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
    /// Waits on this thread, while others take over what else it had to do.
    fn authorize(&self, attributes: &Attributes) -> Decision {
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
