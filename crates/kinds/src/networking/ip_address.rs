//! IPAddress.

use crate::def::{KindDef, Scope};

pub static IP_ADDRESS: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "IPAddress",
    resource: "ipaddresses",
    singular: "ipaddress",
    short_names: &["ip"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.networking.v1.IPAddress",
    ..KindDef::PLAIN
};
