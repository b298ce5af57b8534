//! NetworkPolicy.

use crate::def::{KindDef, Strategy};

pub static NETWORK_POLICY: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    resource: "networkpolicies",
    singular: "networkpolicy",
    short_names: &["netpol"],
    schema: "io.k8s.api.networking.v1.NetworkPolicy",
    strategy: Strategy { generation: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
