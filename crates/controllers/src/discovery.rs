//! What the server serves, for controllers that work on every kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::Client;
use kube::core::ApiResource;

/// A kind that objects can be listed of.
#[derive(Clone, Debug)]
pub struct Served {
    pub resource: ApiResource,
    pub namespaced: bool,
    verbs: Vec<String>,
}

impl Served {
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// `deployments.apps`, as upstream's messages name it.
    pub fn group_resource(&self) -> String {
        match self.resource.group.as_str() {
            "" => self.resource.plural.clone(),
            group => format!("{}.{group}", self.resource.plural),
        }
    }
}

/// The answer of discovery; groups that fail do not hide the others.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    pub served: Vec<Served>,
    /// Group version and error.
    pub failures: Vec<(String, String)>,
}

/// Asks for the kinds of the core group and of each group's preferred version.
pub async fn discover(client: &Client) -> Result<Discovered, kube::Error> {
    let mut found = Discovered::default();
    collect(&mut found, "", "v1", client.list_core_api_resources("v1").await);
    for group in client.list_api_groups().await?.groups {
        let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else { continue };
        let list = client.list_api_group_resources(&version.group_version).await;
        collect(&mut found, &group.name, &version.version, list);
    }
    Ok(found)
}

/// The kind of a resource, in the group's preferred version or in the first that has it.
pub async fn find(client: &Client, group: &str, resource: &str) -> Result<Option<Served>, kube::Error> {
    let named = |found: Discovered| found.served.into_iter().find(|served| served.resource.plural == resource);
    let mut found = Discovered::default();
    if group.is_empty() {
        collect(&mut found, "", "v1", Ok(client.list_core_api_resources("v1").await?));
        return Ok(named(found));
    }
    let groups = client.list_api_groups().await?.groups;
    let Some(known) = groups.into_iter().find(|known| known.name == group) else { return Ok(None) };
    for version in known.preferred_version.into_iter().chain(known.versions) {
        let list = client.list_api_group_resources(&version.group_version).await?;
        collect(&mut found, group, &version.version, Ok(list));
    }
    Ok(named(found))
}

fn collect(found: &mut Discovered, group: &str, version: &str, list: Result<APIResourceList, kube::Error>) {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    match list {
        Ok(list) => {
            let whole = list.resources.into_iter().filter(|resource| !resource.name.contains('/'));
            found.served.extend(whole.map(|resource| served(group, version, &api_version, resource)));
        }
        Err(error) => found.failures.push((api_version, crate::reason_text(&error))),
    }
}

fn served(group: &str, version: &str, api_version: &str, resource: APIResource) -> Served {
    let api = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: resource.kind,
        plural: resource.name,
    };
    Served { resource: api, namespaced: resource.namespaced, verbs: resource.verbs }
}
