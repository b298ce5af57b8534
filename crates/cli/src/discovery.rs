//! What the server serves, and what the user's words for it mean.

use kube::core::discovery::v2::{APIGroupDiscovery, APIResourceDiscovery};
use machinery::percent::encode;

use crate::connection::Session;
use crate::{Error, Result};

/// One served resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    /// In the plural, as it stands in paths.
    pub name: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl Resource {
    /// `pod`, `deployment.apps`: what results call the resource.
    pub fn label(&self) -> String {
        qualified(&self.kind.to_lowercase(), &self.group)
    }

    /// `pods`, `deployments.apps`: what errors call it.
    pub fn qualified_name(&self) -> String {
        qualified(&self.name, &self.group)
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of all objects in a namespace; an empty namespace stands for all.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let root = format!("{root}/{}", self.api_version());
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/namespaces/{}/{}", encode(namespace), self.name)
        } else {
            format!("{root}/{}", self.name)
        }
    }

    /// The path of one object.
    pub fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.path(namespace), encode(name))
    }

    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|allowed| allowed == verb)
    }

    /// Whether the words after the first dot, if there are any, mean this resource's group or version and group.
    fn fits_suffix(&self, suffix: Option<&str>) -> bool {
        let Some(suffix) = suffix else { return true };
        suffix == self.group
            || suffix.strip_prefix(&*self.version).is_some_and(|rest| rest.strip_prefix('.') == Some(&self.group))
    }
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

/// Everything served, in the server's order of preference.
#[derive(Clone, Debug, Default)]
pub struct Catalog(pub Vec<Resource>);

impl Catalog {
    pub async fn load(session: &Session) -> Result<Catalog> {
        let core = session.client.list_core_api_versions_aggregated();
        let groups = session.client.list_api_groups_aggregated();
        let (core, groups) = futures::try_join!(core, groups)?;
        Ok(Catalog(core.items.iter().chain(&groups.items).flat_map(resources).collect()))
    }

    /// What a word such as `po`, `Pod`, `deployments.apps` or `deployments.v1.apps` stands for.
    pub fn find(&self, word: &str) -> Result<&Resource> {
        let lower = word.to_lowercase();
        let (name, suffix) = lower.split_once('.').map_or((lower.as_str(), None), |(name, rest)| (name, Some(rest)));
        let fitting = || self.0.iter().filter(move |resource| resource.fits_suffix(suffix));
        let named = fitting().find(|resource| resource.name == name || resource.singular == name);
        let short = || fitting().find(|resource| resource.short_names.iter().any(|short| short == name));
        named.or_else(short).ok_or_else(|| unknown(word))
    }

    /// What a word stands for when it may be a category such as `all`.
    pub fn expand(&self, word: &str) -> Result<Vec<&Resource>> {
        let in_category = |resource: &&Resource| resource.categories.iter().any(|category| category == word);
        let members: Vec<&Resource> = self.0.iter().filter(in_category).collect();
        if members.is_empty() { Ok(vec![self.find(word)?]) } else { Ok(members) }
    }

    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.0.iter().find(|resource| resource.kind == kind && resource.api_version() == api_version)
    }
}

fn unknown(word: &str) -> Error {
    match word.split_once('.') {
        Some((name, group)) => {
            Error::plain(format!("the server doesn't have a resource type {name:?} in group {group:?}"))
        }
        None => Error::plain(format!("the server doesn't have a resource type {word:?}")),
    }
}

/// A group's resources, each in the version that is preferred among those that have it; the others follow.
fn resources(group: &APIGroupDiscovery) -> Vec<Resource> {
    let name = group.metadata.as_ref().and_then(|metadata| metadata.name.as_deref()).unwrap_or_default();
    let of_version = |version: &kube::core::discovery::v2::APIVersionDiscovery| {
        let number = version.version.clone().unwrap_or_default();
        version.resources.iter().map(|resource| resource_of(name, &number, resource)).collect::<Vec<_>>()
    };
    group.versions.iter().flat_map(of_version).collect()
}

fn resource_of(group: &str, version: &str, resource: &APIResourceDiscovery) -> Resource {
    let kind = resource.response_kind.as_ref().and_then(|kind| kind.kind.clone()).unwrap_or_default();
    let singular = resource.singular_resource.clone().filter(|singular| !singular.is_empty());
    Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        name: resource.resource.clone().unwrap_or_default(),
        singular: singular.unwrap_or_else(|| kind.to_lowercase()),
        kind,
        short_names: resource.short_names.clone(),
        categories: resource.categories.clone(),
        namespaced: resource.scope.as_deref() == Some("Namespaced"),
        verbs: resource.verbs.clone(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn resource(group: &str, kind: &str, name: &str, short: &str, namespaced: bool) -> Resource {
        Resource {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            name: name.into(),
            singular: kind.to_lowercase(),
            short_names: vec![short.into()],
            categories: if namespaced { vec!["all".into()] } else { Vec::new() },
            namespaced,
            verbs: vec!["get".into(), "list".into()],
        }
    }

    pub fn catalog() -> Catalog {
        Catalog(vec![
            resource("", "Node", "nodes", "no", false),
            resource("", "Pod", "pods", "po", true),
            resource("apps", "Deployment", "deployments", "deploy", true),
            resource("metrics.k8s.io", "PodMetrics", "pods", "pm", false),
        ])
    }

    #[test]
    fn words_mean_what_kubectl_takes_them_for() {
        let catalog = catalog();
        let found = |word| catalog.find(word).map(Resource::label).map_err(|error| error.to_string());
        for word in ["po", "pod", "pods", "Pod"] {
            assert_eq!(found(word).as_deref(), Ok("pod"));
        }
        for word in ["deploy", "deployments.apps", "deployment.v1.apps", "deploy.apps"] {
            assert_eq!(found(word).as_deref(), Ok("deployment.apps"));
        }
        assert_eq!(found("pods.metrics.k8s.io").as_deref(), Ok("podmetrics.metrics.k8s.io"));
        assert_eq!(found("x").unwrap_err(), "error: the server doesn't have a resource type \"x\"");
        assert_eq!(
            found("pods.x").unwrap_err(),
            "error: the server doesn't have a resource type \"pods\" in group \"x\""
        );
        assert_eq!(catalog.expand("all").unwrap().len(), 2);
        assert_eq!(catalog.expand("po").unwrap().len(), 1);
    }

    #[test]
    fn paths_name_the_namespace_where_there_is_one() {
        let catalog = catalog();
        assert_eq!(catalog.find("po").unwrap().path("ns"), "/api/v1/namespaces/ns/pods");
        assert_eq!(catalog.find("po").unwrap().path(""), "/api/v1/pods");
        assert_eq!(catalog.find("no").unwrap().object_path("ns", "a"), "/api/v1/nodes/a");
        let deployments = catalog.find("deploy").unwrap();
        assert_eq!(deployments.object_path("ns", "a"), "/apis/apps/v1/namespaces/ns/deployments/a");
    }
}
