//! ResourceQuota.

use crate::def::{KindDef, Strategy, Subresource};

pub static RESOURCE_QUOTA: KindDef = KindDef {
    kind: "ResourceQuota",
    resource: "resourcequotas",
    singular: "resourcequota",
    short_names: &["quota"],
    schema: "io.k8s.api.core.v1.ResourceQuota",
    subresources: &[Subresource::Status],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
