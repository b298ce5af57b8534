//! Namespace.

use crate::def::{KindDef, OtherSubresource, Scope, Strategy, Subresource, Verb};

pub static NAMESPACE: KindDef = KindDef {
    kind: "Namespace",
    resource: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.core.v1.Namespace",
    verbs: &[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Update, Verb::Watch],
    subresources: &[
        Subresource::Other(OtherSubresource {
            name: "finalize",
            group: "",
            version: "",
            kind: "Namespace",
            verbs: &[Verb::Update],
        }),
        Subresource::Status,
    ],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
