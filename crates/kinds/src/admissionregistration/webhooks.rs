//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use machinery::Object;

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Scope, Strategy};
use crate::tree::{Map, child, child_or_new, default, each};

const TIMEOUT_SECONDS: i32 = 10;
/// Where a webhook's Service is called when it does not say.
const SERVICE_PORT: i32 = 443;

pub static MUTATING_WEBHOOK_CONFIGURATION: KindDef = KindDef {
    kind: "MutatingWebhookConfiguration",
    resource: "mutatingwebhookconfigurations",
    singular: "mutatingwebhookconfiguration",
    schema: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    strategy: Strategy { default: default_mutating, ..VALIDATING_WEBHOOK_CONFIGURATION.strategy },
    ..VALIDATING_WEBHOOK_CONFIGURATION
};

pub static VALIDATING_WEBHOOK_CONFIGURATION: KindDef = KindDef {
    group: "admissionregistration.k8s.io",
    kind: "ValidatingWebhookConfiguration",
    resource: "validatingwebhookconfigurations",
    singular: "validatingwebhookconfiguration",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    columns: &[
        NAME,
        Column::integer("Webhooks", "Number of webhooks", |object| object.list(&["webhooks"]).len().into()),
        AGE,
    ],
    strategy: Strategy {
        default: |object| each(&mut object.0, "webhooks", default_webhook),
        generation: true,
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

fn default_mutating(object: &mut Object) {
    each(&mut object.0, "webhooks", |webhook| {
        default_webhook(webhook);
        default(webhook, "reinvocationPolicy", "Never");
    });
}

fn default_webhook(webhook: &mut Map) {
    default(webhook, "failurePolicy", "Fail");
    default(webhook, "matchPolicy", "Equivalent");
    default(webhook, "namespaceSelector", Map::new());
    default(webhook, "objectSelector", Map::new());
    default(webhook, "timeoutSeconds", TIMEOUT_SECONDS);
    each(webhook, "rules", |rule| default(rule, "scope", "*"));
    let service = child(child_or_new(webhook, "clientConfig"), "service");
    service.into_iter().for_each(|service| default(service, "port", SERVICE_PORT));
}
