//! ResourceClaim.

use crate::def::{KindDef, Strategy, Subresource};

pub static RESOURCE_CLAIM: KindDef = KindDef {
    group: "resource.k8s.io",
    kind: "ResourceClaim",
    resource: "resourceclaims",
    singular: "resourceclaim",
    schema: "io.k8s.api.resource.v1.ResourceClaim",
    subresources: &[Subresource::Status],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
