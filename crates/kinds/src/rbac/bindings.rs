//! RoleBinding and ClusterRoleBinding.

use machinery::Object;
use serde_json::Value;

use super::GROUP;
use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Scope, Strategy};
use crate::tree::{child_or_new, default_text, each, str_of, text};

pub static ROLE_BINDING: KindDef = KindDef {
    group: GROUP,
    kind: "RoleBinding",
    resource: "rolebindings",
    singular: "rolebinding",
    schema: "io.k8s.api.rbac.v1.RoleBinding",
    columns: &[
        NAME,
        Column::string("Role", "Role it grants", |binding| {
            format!("{}/{}", binding.str(&["roleRef", "kind"]), binding.str(&["roleRef", "name"])).into()
        }),
        AGE,
        Column::string("Users", "Users it grants the role to", |binding| subjects(binding, "User")).wide(),
        Column::string("Groups", "Groups it grants the role to", |binding| subjects(binding, "Group")).wide(),
        Column::string("ServiceAccounts", "Service accounts it grants the role to", |binding| {
            subjects(binding, "ServiceAccount")
        })
        .wide(),
    ],
    strategy: Strategy { default: default_binding, create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

pub static CLUSTER_ROLE_BINDING: KindDef = KindDef {
    kind: "ClusterRoleBinding",
    resource: "clusterrolebindings",
    singular: "clusterrolebinding",
    scope: Scope::Cluster,
    schema: "io.k8s.api.rbac.v1.ClusterRoleBinding",
    ..ROLE_BINDING
};

fn default_binding(binding: &mut Object) {
    default_text(child_or_new(&mut binding.0, "roleRef"), "apiGroup", GROUP);
    each(&mut binding.0, "subjects", |subject| {
        if matches!(text(subject, "kind"), "User" | "Group") {
            default_text(subject, "apiGroup", GROUP);
        }
    });
}

fn subjects(binding: &Object, kind: &str) -> Value {
    let named = |subject: &Value| match kind {
        "ServiceAccount" => format!("{}/{}", str_of(subject, "namespace"), str_of(subject, "name")),
        _ => str_of(subject, "name").to_owned(),
    };
    let subjects = binding.list(&["subjects"]).iter().filter(|subject| str_of(subject, "kind") == kind);
    subjects.map(named).collect::<Vec<_>>().join(", ").into()
}
