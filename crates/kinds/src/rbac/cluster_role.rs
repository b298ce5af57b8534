//! ClusterRole.

use crate::def::{KindDef, Scope, Strategy};

pub static CLUSTER_ROLE: KindDef = KindDef {
    group: "rbac.authorization.k8s.io",
    kind: "ClusterRole",
    resource: "clusterroles",
    singular: "clusterrole",
    scope: Scope::Cluster,
    schema: "io.k8s.api.rbac.v1.ClusterRole",
    strategy: Strategy { create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
