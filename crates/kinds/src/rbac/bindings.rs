//! RoleBinding and ClusterRoleBinding.

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_subdomain, path_segment_name};
use serde_json::Value;

use super::GROUP;
use crate::check::{At, required_name, same};
use crate::columns::{AGE, NAME};
use crate::def::Description::{Field, Text};
use crate::def::{Column, Description, KindDef, Scope, Strategy};
use crate::tree::{child_or_new, default_text, each, str_of, text};

pub static ROLE_BINDING: KindDef = KindDef {
    group: GROUP,
    kind: "RoleBinding",
    resource: "rolebindings",
    singular: "rolebinding",
    schema: "io.k8s.api.rbac.v1.RoleBinding",
    columns: &[
        NAME,
        ROLE,
        AGE,
        users(Text("Users in the roleBinding")),
        groups(Text("Groups in the roleBinding")),
        service_accounts(Text("ServiceAccounts in the roleBinding")),
    ],
    strategy: Strategy {
        default: default_binding,
        validate: |binding| validate_binding(binding, &["Role", "ClusterRole"]),
        validate_update: keeps_role,
        validate_name: path_segment_name,
        create_on_update: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

pub static CLUSTER_ROLE_BINDING: KindDef = KindDef {
    kind: "ClusterRoleBinding",
    resource: "clusterrolebindings",
    singular: "clusterrolebinding",
    scope: Scope::Cluster,
    schema: "io.k8s.api.rbac.v1.ClusterRoleBinding",
    columns: &[
        NAME,
        ROLE,
        AGE,
        users(Text("Users in the clusterRoleBinding")),
        groups(Text("Groups in the clusterRoleBinding")),
        service_accounts(Text("ServiceAccounts in the clusterRoleBinding")),
    ],
    strategy: Strategy { validate: |binding| validate_binding(binding, &["ClusterRole"]), ..ROLE_BINDING.strategy },
    ..ROLE_BINDING
};

const ROLE: Column = Column::string("Role", Field("roleRef"), |binding| {
    format!("{}/{}", binding.str(&["roleRef", "kind"]), binding.str(&["roleRef", "name"])).into()
});

const fn users(description: Description) -> Column {
    Column::string("Users", description, |binding| subjects(binding, "User")).wide()
}

const fn groups(description: Description) -> Column {
    Column::string("Groups", description, |binding| subjects(binding, "Group")).wide()
}

const fn service_accounts(description: Description) -> Column {
    Column::string("ServiceAccounts", description, |binding| subjects(binding, "ServiceAccount")).wide()
}

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
        "ServiceAccount" if !str_of(subject, "namespace").is_empty() => {
            format!("{}/{}", str_of(subject, "namespace"), str_of(subject, "name"))
        }
        _ => str_of(subject, "name").to_owned(),
    };
    let subjects = binding.list(&["subjects"]).iter().filter(|subject| str_of(subject, "kind") == kind);
    subjects.map(named).collect::<Vec<_>>().join(", ").into()
}

fn validate_binding(binding: &Object, kinds: &[&str]) -> ErrorList {
    let role = At::field(binding, "roleRef");
    let mut errors = ErrorList::new();
    if role.child("apiGroup").text() != GROUP {
        errors.push(role.child("apiGroup").not_supported(&[GROUP]));
    }
    if !kinds.contains(&role.child("kind").text()) {
        let kind = role.child("kind");
        errors.push(Error::not_supported(&kind.path, kind.text(), kinds));
    }
    errors.extend(required_name(&role.child("name"), path_segment_name));
    for subject in At::field(binding, "subjects").items() {
        errors.extend(validate_subject(&subject, kinds.len() > 1));
    }
    errors
}

fn validate_subject(subject: &At, namespaced: bool) -> ErrorList {
    let [name, group, kind, namespace] = ["name", "apiGroup", "kind", "namespace"].map(|field| subject.child(field));
    let mut errors = ErrorList::new();
    if name.is_empty() {
        errors.push(name.required(""));
    }
    match kind.text() {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.extend(name.check(dns1123_subdomain));
            }
            if !group.is_empty() {
                errors.push(group.not_supported(&[""]));
            }
            if !namespaced && namespace.is_empty() {
                errors.push(namespace.required(""));
            }
        }
        "User" | "Group" if group.text() != GROUP => errors.push(group.not_supported(&[GROUP])),
        "User" | "Group" => {}
        _ => errors.push(kind.not_supported(&["ServiceAccount", "User", "Group"])),
    }
    errors
}

fn keeps_role(new: &Object, old: &Object) -> ErrorList {
    let (now, was) = (At::field(new, "roleRef"), At::field(old, "roleRef"));
    let changed = !same(now.value, was.value);
    changed.then(|| Error::invalid(&now.path, now.value.clone(), "cannot change roleRef")).into_iter().collect()
}
