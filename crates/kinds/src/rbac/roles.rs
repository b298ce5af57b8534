//! Role and ClusterRole.

use machinery::Object;
use serde_json::Value;

use super::GROUP;
use crate::columns::{CREATED_AT, NAME};
use crate::def::{KindDef, Scope, Strategy};

pub static ROLE: KindDef = KindDef {
    group: GROUP,
    kind: "Role",
    resource: "roles",
    singular: "role",
    schema: "io.k8s.api.rbac.v1.Role",
    columns: &[NAME, CREATED_AT],
    strategy: Strategy { default: default_rules, create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

pub static CLUSTER_ROLE: KindDef = KindDef {
    kind: "ClusterRole",
    resource: "clusterroles",
    singular: "clusterrole",
    scope: Scope::Cluster,
    schema: "io.k8s.api.rbac.v1.ClusterRole",
    ..ROLE
};

/// Upstream's encoding shows `rules: null` where there are none.
fn default_rules(role: &mut Object) {
    role.0.entry("rules").or_insert(Value::Null);
}
