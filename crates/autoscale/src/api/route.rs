//! What a request asks for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::ApiError;
use machinery::selector::{FieldSelector, LabelSelector};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    Nodes,
    Node(&'a str),
    /// Of a namespace; of all if it is empty.
    Pods(&'a str),
    /// Namespace and name.
    Pod(&'a str, &'a str),
}

impl<'a> Route<'a> {
    pub fn parse(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/apis/")?.strip_prefix(super::GROUP)?.strip_prefix('/')?;
        let rest = rest.strip_prefix(super::VERSION)?.strip_prefix('/')?;
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            ["nodes"] => Some(Self::Nodes),
            ["nodes", name] => Some(Self::Node(name)),
            ["pods"] => Some(Self::Pods("")),
            ["namespaces", namespace, "pods"] => Some(Self::Pods(namespace)),
            ["namespaces", namespace, "pods", name] => Some(Self::Pod(namespace, name)),
            _ => None,
        }
    }
}

/// Which objects of a list are wanted, by the labels of the node or pod.
#[derive(Debug, Default)]
pub struct Filter {
    pub watch: bool,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "watch" => filter.watch = !matches!(&*value, "0" | "false"),
                "labelSelector" => filter.labels = LabelSelector::parse(&value)?,
                "fieldSelector" => filter.fields = FieldSelector::parse(&value)?,
                _ => {}
            }
        }
        Ok(filter)
    }

    pub fn matches(&self, meta: &ObjectMeta) -> bool {
        let field = |name: &str| match name {
            "metadata.name" => meta.name.clone(),
            "metadata.namespace" => meta.namespace.clone(),
            _ => None,
        };
        let label = |name: &str| control::meta::label(meta, name);
        self.labels.matches(&label) && self.fields.matches(&field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_nodes_and_pods() {
        let route = |rest: &str| format!("/apis/metrics.k8s.io/v1beta1/{rest}");
        assert_eq!(Route::parse(&route("nodes")), Some(Route::Nodes));
        assert_eq!(Route::parse(&route("nodes/n1")), Some(Route::Node("n1")));
        assert_eq!(Route::parse(&route("pods")), Some(Route::Pods("")));
        assert_eq!(Route::parse(&route("namespaces/shop/pods")), Some(Route::Pods("shop")));
        assert_eq!(Route::parse(&route("namespaces/shop/pods/web")), Some(Route::Pod("shop", "web")));
        assert_eq!(Route::parse(&route("pods/web")), None);
        assert_eq!(Route::parse("/apis/metrics.k8s.io/v2/nodes"), None);
    }

    #[test]
    fn selectors_are_decoded() {
        let filter =
            Filter::parse("labelSelector=app%3Dweb%2Ctier+in+%28a%2Cb%29&fieldSelector=metadata.name%3Dp1").unwrap();
        let meta = |name: &str, tier: &str| ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("app", "web"), ("tier", tier)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            ..ObjectMeta::default()
        };
        assert!(filter.matches(&meta("p1", "a")));
        assert!(!filter.matches(&meta("p1", "c")));
        assert!(!filter.matches(&meta("p2", "a")));
    }
}
