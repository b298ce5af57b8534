//! MutatingWebhookConfiguration.

use crate::def::{KindDef, Scope, Strategy};

pub static MUTATING_WEBHOOK_CONFIGURATION: KindDef = KindDef {
    group: "admissionregistration.k8s.io",
    kind: "MutatingWebhookConfiguration",
    resource: "mutatingwebhookconfigurations",
    singular: "mutatingwebhookconfiguration",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    strategy: Strategy { generation: true, unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
