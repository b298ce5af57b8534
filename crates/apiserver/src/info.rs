//! What a request addresses, read from its method and path (upstream: apiserver/pkg/endpoints/request).

use http::Method;
use machinery::percent::decode;

use crate::query::Query;

/// Subresources that `/namespaces/NAME/...` may mean, rather than a resource in the namespace.
const NAMESPACE_SUBRESOURCES: &[&str] = &["status", "finalize"];

/// A request in the API's terms. Fields that do not apply are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// As sent, without the query.
    pub path: String,
    /// As authorization names it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
    /// `deletecollection`; the lower case method when no resource is addressed.
    pub verb: String,
    pub is_resource: bool,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// What follows the subresource, still encoded, with its leading slash: the path of a proxied request.
    pub rest: String,
}

impl RequestInfo {
    pub fn new(method: &Method, path: &str, query: &Query) -> Self {
        let non_resource =
            Self { path: path.to_owned(), verb: method.as_str().to_ascii_lowercase(), ..Self::default() };
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, parts) = match parts.as_slice() {
            ["api", version, parts @ ..] => ("", *version, parts),
            ["apis", group, version, parts @ ..] => (*group, *version, parts),
            _ => return non_resource,
        };
        if parts.is_empty() {
            return non_resource;
        }
        let mut info = Self { is_resource: true, group: group.to_owned(), version: version.to_owned(), ..non_resource };
        info.verb = verb_of(method).to_owned();
        info.read_parts(parts, path);
        info.settle_verb(query);
        info
    }

    fn read_parts(&mut self, parts: &[&str], path: &str) {
        let parts = match parts {
            ["watch", parts @ ..] if !parts.is_empty() => {
                self.verb = "watch".to_owned();
                parts
            }
            parts => parts,
        };
        let parts = match parts {
            ["namespaces", namespace, rest @ ..] => {
                self.namespace = decode(namespace);
                match rest {
                    [] => parts,
                    [subresource, ..] if NAMESPACE_SUBRESOURCES.contains(subresource) => parts,
                    rest => rest,
                }
            }
            parts => parts,
        };
        let part = |at: usize| parts.get(at).map(|part| decode(part)).unwrap_or_default();
        (self.resource, self.name, self.subresource) = (part(0), part(1), part(2));
        self.rest = rest_of(path, parts.get(3..).unwrap_or_default());
    }

    /// A read or delete without a name concerns the collection.
    fn settle_verb(&mut self, query: &Query) {
        if self.name.is_empty() && self.verb == "get" {
            self.verb = "list".to_owned();
        }
        if self.name.is_empty() && self.verb == "delete" {
            self.verb = "deletecollection".to_owned();
        }
        if self.verb == "list" && query.flag("watch") {
            self.verb = "watch".to_owned();
        }
        if self.verb == "list" || self.verb == "watch" || self.verb == "deletecollection" {
            self.take_selected_name(query.get("fieldSelector"));
        }
    }

    /// A selector of one name lets a rule with resource names match.
    fn take_selected_name(&mut self, field_selector: &str) {
        let selected = field_selector.split(',').find_map(|term| {
            let (field, name) = term.split_once('=')?;
            (field == "metadata.name").then(|| name.trim_start_matches('=').to_owned())
        });
        if let Some(name) = selected.filter(|_| self.name.is_empty()) {
            self.name = name;
        }
    }

    /// Whether the request may take longer than the request timeout: watches and connections to nodes.
    pub fn long_running(&self) -> bool {
        self.verb == "watch" || self.connects() || (self.subresource == "log" && self.resource == "pods")
    }

    fn connects(&self) -> bool {
        matches!(self.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy")
    }

    /// `cluster`, `namespace` or `resource`, as metrics label it.
    pub fn scope(&self) -> &'static str {
        match (self.is_resource, self.name.is_empty(), self.namespace.is_empty()) {
            (false, ..) => "",
            (_, false, _) => "resource",
            (_, _, false) => "namespace",
            _ => "cluster",
        }
    }
}

/// The end of `path` that starts with the first of `parts`.
fn rest_of(path: &str, parts: &[&str]) -> String {
    let Some(first) = parts.first() else { return String::new() };
    let trailing = if path.ends_with('/') { "/" } else { "" };
    let joined = parts.join("/");
    if first.is_empty() && parts.len() == 1 { "/".to_owned() } else { format!("/{joined}{trailing}") }
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, uri: &str, want: &str) {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let info = RequestInfo::new(&method, path, &Query::parse(query));
        let got = if info.is_resource {
            let fields = [&info.verb, &info.group, &info.version, &info.namespace, &info.resource, &info.name];
            let fields = fields.map(|field| if field.is_empty() { "-" } else { field });
            format!("{} {} {}", fields.join(" "), info.subresource, info.rest).trim_end().to_owned()
        } else {
            format!("{} {}", info.verb, info.path)
        };
        assert_eq!(got, want, "{method} {uri}");
    }

    #[test]
    fn paths_name_resources() {
        check(Method::GET, "/api/v1/pods", "list - v1 - pods -");
        check(Method::GET, "/api/v1/namespaces/a/pods?watch=1", "watch - v1 a pods -");
        check(Method::GET, "/api/v1/watch/namespaces/a/pods/b", "watch - v1 a pods b");
        check(Method::GET, "/api/v1/namespaces/a", "get - v1 a namespaces a");
        check(Method::PUT, "/api/v1/namespaces/a/finalize", "update - v1 a namespaces a finalize");
        check(Method::DELETE, "/apis/apps/v1/namespaces/a/deployments", "deletecollection apps v1 a deployments -");
        check(Method::PATCH, "/apis/apps/v1/namespaces/a/deployments/b/scale", "patch apps v1 a deployments b scale");
        check(Method::POST, "/api/v1/namespaces/a/pods/b/exec?command=ls", "create - v1 a pods b exec");
        check(Method::GET, "/api/v1/nodes/n/proxy/stats/summary", "get - v1 - nodes n proxy /stats/summary");
        check(Method::GET, "/api/v1/pods?fieldSelector=metadata.name=x", "list - v1 - pods x");
    }

    #[test]
    fn other_paths_are_themselves() {
        for path in ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz"] {
            check(Method::GET, path, &format!("get {path}"));
        }
    }
}
