//! ServiceCIDR.

use crate::def::{KindDef, Scope, Strategy, Subresource};

pub static SERVICE_CIDR: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "ServiceCIDR",
    resource: "servicecidrs",
    singular: "servicecidr",
    scope: Scope::Cluster,
    schema: "io.k8s.api.networking.v1.ServiceCIDR",
    subresources: &[Subresource::Status],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
