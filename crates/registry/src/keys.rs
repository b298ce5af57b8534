//! Where objects lie in the store: where upstream's servers put them, so that one can take the other's place
//! (docs/decisions/0010).
//!
//! `/registry/<resource>/<namespace>/<name>`, with the group in front of the resource for custom kinds and for the
//! groups that upstream serves by servers of their own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use kinds::KindDef;

/// Above everything the registry stores.
pub const ROOT: &str = "/registry/";

/// Resources that lie under another name. (upstream: pkg/kubeapiserver/default_storage_factory_builder.go)
const RENAMED: [(&str, &str, &str); 5] = [
    ("", "endpoints", "services/endpoints"),
    ("", "nodes", "minions"),
    ("", "replicationcontrollers", "controllers"),
    ("", "services", "services/specs"),
    ("networking.k8s.io", "ingresses", "ingress"),
];
/// (upstream: apiextensions-apiserver and kube-aggregator, which name the group as custom resources do)
const GROUPED: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// The group, if it is part of the key, and what the resource is called there.
fn place(kind: &KindDef) -> (Option<&str>, &str) {
    if kind.custom.is_some() || GROUPED.contains(&kind.group) {
        return (Some(kind.group), kind.resource);
    }
    let renamed = RENAMED.iter().find(|(group, resource, _)| (*group, *resource) == (kind.group, kind.resource));
    (None, renamed.map_or(kind.resource, |(_, _, name)| name))
}

/// A resource as keys name it: `deployments`, `example.com/widgets`. `kind` is the stored version.
pub fn resource_name(kind: &KindDef) -> Cow<'_, str> {
    match place(kind) {
        (None, resource) => resource.into(),
        (Some(group), resource) => format!("{group}/{resource}").into(),
    }
}

/// The prefix of all objects of a kind, with its closing slash. `kind` is the stored version.
pub fn resource_prefix(kind: &KindDef) -> String {
    format!("{ROOT}{}/", resource_name(kind))
}

/// The length of [`resource_prefix`], without making it.
pub fn prefix_len(kind: &KindDef) -> usize {
    let (group, resource) = place(kind);
    ROOT.len() + group.map_or(0, |group| group.len() + 1) + resource.len() + 1
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

/// Built-in kinds by what stands between the root and the last slash of their prefix.
static BY_PLACE: LazyLock<HashMap<Cow<'static, str>, &'static KindDef>> = LazyLock::new(|| {
    let stored = kinds::known().iter().filter(|kind| kind.is_stored());
    stored.map(|kind| (resource_name(kind), *kind)).collect()
});

/// Group and resource of what lies under a key, or has it for its prefix; built-in or custom.
pub fn resource_of(key: &str) -> Option<(&str, &str)> {
    let Names { first, both } = Names::of(key)?;
    let built_in = BY_PLACE.get(first).or_else(|| BY_PLACE.get(both?));
    built_in.map(|kind| (kind.group, kind.resource)).or_else(|| both?.split_once('/'))
}

/// What a key may begin with behind the root: one segment or two name its resource.
pub(crate) struct Names<'a> {
    pub first: &'a str,
    pub both: Option<&'a str>,
}

impl<'a> Names<'a> {
    pub fn of(key: &'a str) -> Option<Self> {
        let rest = key.strip_prefix(ROOT)?;
        let mut slashes = rest.match_indices('/').map(|(at, _)| at);
        let (first, second) = (slashes.next()?, slashes.next());
        Some(Self { first: &rest[..first], both: second.map(|second| &rest[..second]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_laid_out_as_upstream_does() {
        let table = [
            ("", "pods", "/registry/pods/n/x"),
            ("", "services", "/registry/services/specs/n/x"),
            ("", "endpoints", "/registry/services/endpoints/n/x"),
            ("", "nodes", "/registry/minions/x"),
            ("", "replicationcontrollers", "/registry/controllers/n/x"),
            ("", "events", "/registry/events/n/x"),
            ("apps", "deployments", "/registry/deployments/n/x"),
            ("networking.k8s.io", "ingresses", "/registry/ingress/n/x"),
            ("networking.k8s.io", "ingressclasses", "/registry/ingressclasses/x"),
            ("rbac.authorization.k8s.io", "clusterroles", "/registry/clusterroles/x"),
            ("coordination.k8s.io", "leases", "/registry/leases/n/x"),
            ("apiregistration.k8s.io", "apiservices", "/registry/apiregistration.k8s.io/apiservices/x"),
            (
                "apiextensions.k8s.io",
                "customresourcedefinitions",
                "/registry/apiextensions.k8s.io/customresourcedefinitions/x",
            ),
        ];
        for (group, resource, key) in table {
            let stored = |kind: &&&KindDef| kind.group == group && kind.resource == resource && kind.is_stored();
            let kind = kinds::known().iter().find(stored).unwrap();
            assert_eq!(object_key(kind, "n", "x"), key);
            assert_eq!(resource_of(key), Some((group, resource)), "{key}");
        }
        assert_eq!(resource_of("/registry/example.com/widgets/n/x"), Some(("example.com", "widgets")));
    }

    #[test]
    fn no_two_kinds_share_a_place() {
        let stored: Vec<_> = kinds::known().iter().filter(|kind| kind.is_stored()).collect();
        assert_eq!(BY_PLACE.len(), stored.len());
        for kind in stored {
            let prefix = resource_prefix(kind);
            assert_eq!(prefix_len(kind), prefix.len());
            assert_eq!(resource_of(&format!("{prefix}a/b")), Some((kind.group, kind.resource)));
        }
    }
}
