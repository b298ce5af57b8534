//! PriorityClass.

use crate::def::{KindDef, Scope, Strategy};

pub static PRIORITY_CLASS: KindDef = KindDef {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    resource: "priorityclasses",
    singular: "priorityclass",
    short_names: &["pc"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.scheduling.v1.PriorityClass",
    strategy: Strategy { generation: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
