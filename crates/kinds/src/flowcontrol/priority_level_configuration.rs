//! PriorityLevelConfiguration.

use crate::def::{KindDef, Scope, Strategy, Subresource};

pub static PRIORITY_LEVEL_CONFIGURATION: KindDef = KindDef {
    group: "flowcontrol.apiserver.k8s.io",
    kind: "PriorityLevelConfiguration",
    resource: "prioritylevelconfigurations",
    singular: "prioritylevelconfiguration",
    scope: Scope::Cluster,
    schema: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    subresources: &[Subresource::Status],
    strategy: Strategy { unconditional_update: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
