//! IngressClass.

use crate::def::{KindDef, Scope, Strategy};

pub static INGRESS_CLASS: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "IngressClass",
    resource: "ingressclasses",
    singular: "ingressclass",
    scope: Scope::Cluster,
    schema: "io.k8s.api.networking.v1.IngressClass",
    strategy: Strategy { generation: true, unconditional_update: false, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
