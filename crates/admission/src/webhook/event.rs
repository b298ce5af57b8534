//! Tells people that a webhook is taken to be broken, or works again.

use kinds::KindDef;
use machinery::Object;
use registry::{Context, Registry};
use serde_json::json;

use super::breaker::Change;
use super::hook::Hook;
use super::metrics::Step;

/// Where events about objects of cluster scope lie.
const NAMESPACE: &str = "default";
const SUFFIX: usize = 16;

/// Writes an event beside the request that found it out, which does not wait for it.
pub fn tell(registry: &Registry, hook: &Hook, step: Step, change: Change) {
    let Some(events) = registry.kinds().find("", "v1", "events") else { return };
    let event = event(hook, step, change == Change::Opened);
    tokio::spawn(write(registry.clone(), events, event));
}

async fn write(registry: Registry, events: &'static KindDef, event: Object) {
    let context = Context::of_server();
    if let Err(error) = registry.create(&context, events, NAMESPACE, event).await {
        tracing::warn!(%error, "an event about a webhook could not be written");
    }
}

fn event(hook: &Hook, step: Step, opened: bool) -> Object {
    let kind = match step {
        Step::Mutating => "MutatingWebhookConfiguration",
        Step::Validating => "ValidatingWebhookConfiguration",
    };
    let name = &hook.name;
    let (of_type, reason, message) = match opened {
        true => (
            "Warning",
            "WebhookBroken",
            format!("Webhook {name:?} keeps failing: the cluster's own components do without it until it answers"),
        ),
        false => {
            ("Normal", "WebhookRecovered", format!("Webhook {name:?} answers again and is asked about everything"))
        }
    };
    let now = clock::format_time(clock::now());
    let event = json!({
        "metadata": {"name": format!("{}.{}", hook.configuration, clock::name_suffix(SUFFIX)), "namespace": NAMESPACE},
        "involvedObject": {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "name": hook.configuration, "uid": hook.configuration_uid,
        },
        "type": of_type, "reason": reason, "message": message, "count": 1,
        "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": "apiserver"}, "reportingComponent": "apiserver",
    });
    Object::from_value(event).expect("an event is an object")
}
