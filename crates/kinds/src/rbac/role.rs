//! Role.

use crate::def::{KindDef, Strategy};

pub static ROLE: KindDef = KindDef {
    group: "rbac.authorization.k8s.io",
    kind: "Role",
    resource: "roles",
    singular: "role",
    schema: "io.k8s.api.rbac.v1.Role",
    strategy: Strategy { create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
