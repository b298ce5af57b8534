//! ServiceAccount.

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, OtherSubresource, Strategy, Subresource, Verb};

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
    columns: &[
        NAME,
        Column::integer("Secrets", "Number of secrets pods may use", |account| account.list(&["secrets"]).len().into()),
        AGE,
    ],
    strategy: Strategy { returns_deleted: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
