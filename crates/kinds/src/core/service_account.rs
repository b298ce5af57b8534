//! ServiceAccount.

use crate::def::{KindDef, OtherSubresource, Subresource, Verb};

pub static SERVICE_ACCOUNT: KindDef = KindDef {
    kind: "ServiceAccount",
    resource: "serviceaccounts",
    singular: "serviceaccount",
    short_names: &["sa"],
    schema: "io.k8s.api.core.v1.ServiceAccount",
    subresources: &[Subresource::Other(OtherSubresource {
        name: "token",
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenRequest",
        verbs: &[Verb::Create],
    })],
    ..KindDef::PLAIN
};
