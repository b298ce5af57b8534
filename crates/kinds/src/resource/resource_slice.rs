//! ResourceSlice.

use crate::def::{KindDef, Scope, Strategy};

pub static RESOURCE_SLICE: KindDef = KindDef {
    group: "resource.k8s.io",
    kind: "ResourceSlice",
    resource: "resourceslices",
    singular: "resourceslice",
    scope: Scope::Cluster,
    schema: "io.k8s.api.resource.v1.ResourceSlice",
    strategy: Strategy { generation: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
