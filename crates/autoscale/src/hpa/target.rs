//! The `/scale` of what an autoscaler points at, whatever its kind.

use std::collections::HashMap;

use control::error::ApiErrorExt;
use control::meta;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::CrossVersionObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use parking_lot::Mutex;

/// Writes that lose against another one of the target are tried again so often.
const CONFLICTS_MAX: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("unexpected GroupVersion string: {0}")]
    ApiVersion(String),
    #[error("no matches for kind {kind:?} in group {group:?}")]
    NoMatch { kind: String, group: String },
    #[error("{}", describe(.0))]
    Kube(#[from] kube::Error),
}

/// The server's own words where there are some.
fn describe(error: &kube::Error) -> String {
    error.status().map_or_else(|| error.to_string(), |status| status.message.clone())
}

/// Finds targets; remembers which resource serves which kind. Bounded by the kinds that autoscalers name.
pub struct Targets {
    client: Client,
    /// By group and kind.
    resources: Mutex<HashMap<(String, String), ApiResource>>,
}

/// A target and its scale as it was read.
pub struct Target {
    api: Api<DynamicObject>,
    name: String,
    scale: Scale,
}

impl Targets {
    pub fn new(client: Client) -> Self {
        Self { client, resources: Mutex::default() }
    }

    pub async fn find(&self, namespace: &str, reference: &CrossVersionObjectReference) -> Result<Target, Error> {
        let api_version = reference.api_version.as_deref().unwrap_or_default();
        if api_version.matches('/').count() > 1 {
            return Err(Error::ApiVersion(api_version.to_owned()));
        }
        let id = (meta::group_of(api_version).to_owned(), reference.kind.clone());
        let known = self.resources.lock().get(&id).cloned();
        let resource = match known {
            Some(resource) => resource,
            None => self.discover(api_version, &reference.kind).await?,
        };
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &resource);
        let scale = api.get_scale(&reference.name).await;
        match &scale {
            Ok(_) => self.resources.lock().insert(id, resource),
            // The kind may have moved to another version.
            Err(_) => self.resources.lock().remove(&id),
        };
        Ok(Target { api, name: reference.name.clone(), scale: scale? })
    }

    /// Asks the version that is named, then all others of the group.
    async fn discover(&self, api_version: &str, kind: &str) -> Result<ApiResource, Error> {
        let group = meta::group_of(api_version);
        let mut versions = vec![api_version.to_owned()];
        if !group.is_empty() {
            let groups = self.client.list_api_groups().await?.groups;
            let served = groups.into_iter().filter(|served| served.name == group).flat_map(|served| served.versions);
            versions.extend(served.map(|version| version.group_version).filter(|version| version != api_version));
        }
        for version in versions {
            let list = match group {
                "" => self.client.list_core_api_resources(&version).await,
                _ => self.client.list_api_group_resources(&version).await,
            };
            let list = control::error::ignore_not_found(list)?;
            if let Some(plural) = list.and_then(|list| plural_of(list, kind)) {
                return Ok(resource(&version, kind, plural));
            }
        }
        Err(Error::NoMatch { kind: kind.to_owned(), group: group.to_owned() })
    }
}

fn plural_of(list: APIResourceList, kind: &str) -> Option<String> {
    let mut whole = list.resources.into_iter().filter(|resource| !resource.name.contains('/'));
    whole.find(|resource| resource.kind == kind).map(|resource| resource.name)
}

fn resource(api_version: &str, kind: &str, plural: String) -> ApiResource {
    let group = meta::group_of(api_version);
    let version = api_version.rsplit('/').next().unwrap_or(api_version);
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural,
    }
}

impl Target {
    pub fn replicas(&self) -> i32 {
        replicas(&self.scale)
    }

    /// Of its pods, in the syntax of queries; empty if it has none.
    pub fn selector(&self) -> &str {
        let status = self.scale.status.as_ref();
        status.and_then(|status| status.selector.as_deref()).unwrap_or_default()
    }

    /// Sets the size, provided that it still is the one that was read.
    pub async fn resize(&mut self, to: i32) -> Result<(), Error> {
        let from = self.replicas();
        let mut tries = 1;
        loop {
            let mut wanted = self.scale.clone();
            wanted.spec.get_or_insert_default().replicas = Some(to);
            match self.api.replace_scale(&self.name, &PostParams::default(), &wanted).await {
                Err(error) if error.is_conflict() && tries < CONFLICTS_MAX => {
                    self.scale = self.api.get_scale(&self.name).await?;
                    if self.replicas() != from {
                        return Err(error.into());
                    }
                    tries += 1;
                }
                other => return other.map(|_| ()).map_err(Error::from),
            }
        }
    }
}

fn replicas(scale: &Scale) -> i32 {
    scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default()
}
