//! RuntimeClass.

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Scope, Strategy};

pub static RUNTIME_CLASS: KindDef = KindDef {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    resource: "runtimeclasses",
    singular: "runtimeclass",
    scope: Scope::Cluster,
    schema: "io.k8s.api.node.v1.RuntimeClass",
    columns: &[
        NAME,
        Column::string("Handler", "What the runtime calls it", |class| class.str(&["handler"]).into()),
        AGE,
    ],
    strategy: Strategy { unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
