//! EndpointSlice.

use crate::def::{KindDef, Strategy};

pub static ENDPOINT_SLICE: KindDef = KindDef {
    group: "discovery.k8s.io",
    kind: "EndpointSlice",
    resource: "endpointslices",
    singular: "endpointslice",
    schema: "io.k8s.api.discovery.v1.EndpointSlice",
    strategy: Strategy { generation: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
