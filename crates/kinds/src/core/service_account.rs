//! ServiceAccount.

use crate::columns::{AGE, NAME};
use crate::def::{KindDef, OtherSubresource, Strategy, Subresource, Verb};

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
    columns: &[NAME, AGE],
    strategy: Strategy { returns_deleted: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
