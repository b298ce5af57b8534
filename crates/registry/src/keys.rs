//! Where objects lie in the store: `/registry/<group-or-nothing>/<resource>/<namespace>/<name>`.

use kinds::KindDef;

/// Above everything the registry stores.
pub const ROOT: &str = "/registry/";

/// The prefix of all objects of a kind, with its closing slash. `kind` is the stored version.
pub fn resource_prefix(kind: &KindDef) -> String {
    match kind.group {
        "" => format!("{ROOT}{}/", kind.resource),
        group => format!("{ROOT}{group}/{}/", kind.resource),
    }
}

/// The length of [`resource_prefix`], without making it.
pub fn prefix_len(kind: &KindDef) -> usize {
    let group = if kind.group.is_empty() { 0 } else { kind.group.len() + 1 };
    ROOT.len() + group + kind.resource.len() + 1
}

/// The prefix of the objects in `namespace`; of all when it is empty.
pub fn namespace_prefix(kind: &KindDef, namespace: &str) -> String {
    let mut prefix = resource_prefix(kind);
    if kind.namespaced() && !namespace.is_empty() {
        prefix.push_str(namespace);
        prefix.push('/');
    }
    prefix
}

pub fn object_key(kind: &KindDef, namespace: &str, name: &str) -> String {
    namespace_prefix(kind, namespace) + name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_laid_out_as_upstream_does() {
        const PODS: KindDef = KindDef { resource: "pods", ..KindDef::PLAIN };
        const ROLES: KindDef = KindDef {
            group: "rbac.authorization.k8s.io",
            resource: "clusterroles",
            scope: kinds::Scope::Cluster,
            ..KindDef::PLAIN
        };
        assert_eq!(object_key(&PODS, "default", "web"), "/registry/pods/default/web");
        assert_eq!(object_key(&ROLES, "", "admin"), "/registry/rbac.authorization.k8s.io/clusterroles/admin");
        assert_eq!(namespace_prefix(&PODS, ""), "/registry/pods/");
        for kind in [&PODS, &ROLES] {
            assert_eq!(prefix_len(kind), resource_prefix(kind).len());
        }
    }
}
