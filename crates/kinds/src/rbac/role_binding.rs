//! RoleBinding.

use crate::def::{KindDef, Strategy};

pub static ROLE_BINDING: KindDef = KindDef {
    group: "rbac.authorization.k8s.io",
    kind: "RoleBinding",
    resource: "rolebindings",
    singular: "rolebinding",
    schema: "io.k8s.api.rbac.v1.RoleBinding",
    strategy: Strategy { create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
