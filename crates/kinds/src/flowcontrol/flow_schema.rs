//! FlowSchema.

use crate::def::{KindDef, Scope, Strategy, Subresource};

pub static FLOW_SCHEMA: KindDef = KindDef {
    group: "flowcontrol.apiserver.k8s.io",
    kind: "FlowSchema",
    resource: "flowschemas",
    singular: "flowschema",
    scope: Scope::Cluster,
    schema: "io.k8s.api.flowcontrol.v1.FlowSchema",
    subresources: &[Subresource::Status],
    strategy: Strategy { unconditional_update: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
