//! ClusterRoleBinding.

use crate::def::{KindDef, Scope, Strategy};

pub static CLUSTER_ROLE_BINDING: KindDef = KindDef {
    group: "rbac.authorization.k8s.io",
    kind: "ClusterRoleBinding",
    resource: "clusterrolebindings",
    singular: "clusterrolebinding",
    scope: Scope::Cluster,
    schema: "io.k8s.api.rbac.v1.ClusterRoleBinding",
    strategy: Strategy { create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
