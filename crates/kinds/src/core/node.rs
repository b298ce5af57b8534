//! Node.

use crate::def::{KindDef, PROXY_VERBS, Scope, Strategy, Subresource};

pub static NODE: KindDef = KindDef {
    kind: "Node",
    resource: "nodes",
    singular: "node",
    short_names: &["no"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.core.v1.Node",
    subresources: &[
        Subresource::Connect { name: "proxy", kind: "NodeProxyOptions", verbs: PROXY_VERBS },
        Subresource::Status,
    ],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
