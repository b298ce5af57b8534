//! Parameters of policies: any objects of the cluster.
//!
//! upstream: apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go, CollectParams

use auth::View;
use auth::view::Resource;
use kinds::KindDef;
use machinery::{GroupVersionKind, Object};
use registry::{ListOptions, Registry};

use super::frame::{ParamRef, Which};

const NONE: &str = "no params found for policy binding with `Deny` parameterNotFoundAction";

/// The parameters of a binding for a request in `namespace`, each for an evaluation of its own. The error is
/// upstream's text.
pub async fn collect(
    registry: &Registry,
    view: &dyn View,
    kind: &'static KindDef,
    reference: &ParamRef,
    namespace: &str,
) -> Result<Vec<Object>, String> {
    let namespace = place(kind, reference, namespace)?;
    let resource = Resource { group: kind.group, version: kind.version, name: kind.resource };
    let found = match &reference.which {
        Which::Named(name) => named(registry, view, kind, (resource, namespace, name)).await.into_iter().collect(),
        Which::Selected(selector) => {
            let mut listed = match kind.custom {
                None => view.list(resource, namespace),
                Some(_) => listed(registry, kind, namespace).await?,
            };
            listed.retain(|object| selector.matches_map(&object.labels()));
            listed
        }
    };
    if found.is_empty() && reference.needed { Err(NONE.to_owned()) } else { Ok(found) }
}

/// The namespace that parameters are looked for in.
fn place<'a>(kind: &KindDef, reference: &'a ParamRef, namespace: &'a str) -> Result<&'a str, String> {
    match (kind.namespaced(), reference.namespace.as_str(), namespace) {
        (false, "", _) => Ok(""),
        (false, ..) => Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned()),
        (true, "", "") => {
            Err("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned())
        }
        (true, "", namespace) => Ok(namespace),
        (true, given, _) => Ok(given),
    }
}

/// What was made a moment ago may not be in the cache yet: a read of the newest state waits for it.
async fn named(
    registry: &Registry,
    view: &dyn View,
    kind: &'static KindDef,
    (resource, namespace, name): (Resource, &str, &str),
) -> Option<Object> {
    let read = async |version| registry.get(kind, namespace, name, version).await.ok().map(|entry| entry.object());
    let at_hand = match kind.custom {
        None => view.get(resource, namespace, name),
        Some(_) => read("0").await,
    };
    if at_hand.is_some() { at_hand } else { read("").await }
}

/// Custom resources may have to be converted, which no view waits for.
async fn listed(registry: &Registry, kind: &'static KindDef, namespace: &str) -> Result<Vec<Object>, String> {
    let at_hand = ListOptions { resource_version: "0".to_owned(), ..ListOptions::default() };
    let list = registry.list(kind, namespace, &at_hand).await.map_err(|error| error.message)?;
    Ok(list.items.iter().map(|entry| entry.object()).collect())
}

/// The kind of this name, if there are objects of it.
pub fn kind(registry: &Registry, of: &GroupVersionKind) -> Result<&'static KindDef, String> {
    let unknown = || format!("failed to find resource referenced by paramKind: '{of}'");
    registry.kinds().by_gvk(of).filter(|kind| !kind.virtual_kind).ok_or_else(unknown)
}
