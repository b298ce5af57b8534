//! ServiceCIDR.

use serde_json::Value;

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Scope, Strategy, Subresource};

pub static SERVICE_CIDR: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "ServiceCIDR",
    resource: "servicecidrs",
    singular: "servicecidr",
    scope: Scope::Cluster,
    schema: "io.k8s.api.networking.v1.ServiceCIDR",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("CIDRs", "Ranges of addresses", |cidr| {
            let ranges = cidr.list(&["spec", "cidrs"]).iter().filter_map(Value::as_str);
            ranges.collect::<Vec<_>>().join(",").into()
        }),
        AGE,
    ],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
