//! ValidatingWebhookConfiguration.

use crate::def::{KindDef, Scope, Strategy};

pub static VALIDATING_WEBHOOK_CONFIGURATION: KindDef = KindDef {
    group: "admissionregistration.k8s.io",
    kind: "ValidatingWebhookConfiguration",
    resource: "validatingwebhookconfigurations",
    singular: "validatingwebhookconfiguration",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    strategy: Strategy { generation: true, unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
