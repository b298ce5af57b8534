//! RuntimeClass.

use crate::def::{KindDef, Scope, Strategy};

pub static RUNTIME_CLASS: KindDef = KindDef {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    resource: "runtimeclasses",
    singular: "runtimeclass",
    scope: Scope::Cluster,
    schema: "io.k8s.api.node.v1.RuntimeClass",
    strategy: Strategy { unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
