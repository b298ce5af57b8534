//! Service.

use crate::def::{KindDef, PROXY_VERBS, Strategy, Subresource};

pub static SERVICE: KindDef = KindDef {
    kind: "Service",
    resource: "services",
    singular: "service",
    short_names: &["svc"],
    categories: &["all"],
    schema: "io.k8s.api.core.v1.Service",
    subresources: &[
        Subresource::Connect { name: "proxy", kind: "ServiceProxyOptions", verbs: PROXY_VERBS },
        Subresource::Status,
    ],
    strategy: Strategy { generation: false, create_on_update: true, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
