//! The ConfigMaps and Secrets that pods of this node refer to: one watch for each, while anyone needs it.
//!
//! A node may read no others, so each watch is of one namespace and one name.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::time::Duration;

use control::WatchBackoff;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Volume, VolumeProjection};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::debug;

use crate::container::Objects;
use crate::pod::spec;

/// How long a start waits for the first answer about an object before it counts as missing.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefKind {
    ConfigMap,
    Secret,
}

type Key = (RefKind, String, String);

#[derive(Clone, Debug)]
enum Found {
    /// Nothing was heard yet.
    Unknown,
    Missing,
    ConfigMap(Arc<ConfigMap>),
    Secret(Arc<Secret>),
}

/// One watched object; the watch ends with it.
struct Entry {
    found: watch::Sender<Found>,
    task: Mutex<Option<AbortHandle>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// All objects that are watched now.
pub struct References {
    client: Client,
    entries: Mutex<HashMap<Key, Weak<Entry>>>,
    version: watch::Sender<u64>,
}

/// The objects of one pod.
pub struct PodReferences(Vec<(Key, Arc<Entry>)>);

impl References {
    pub fn new(client: Client) -> References {
        References { client, entries: Mutex::default(), version: watch::Sender::new(0) }
    }

    /// A counter that grows with every change of any watched object.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Watches everything the pod refers to, until the answer is dropped.
    pub fn of_pod(&self, pod: &Pod) -> PodReferences {
        let namespace = spec::namespace(pod);
        let keys = referred(pod).into_iter().map(|(kind, name)| (kind, namespace.to_string(), name));
        PodReferences(keys.map(|key| (key.clone(), self.entry(key))).collect())
    }

    fn entry(&self, key: Key) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(&key).and_then(Weak::upgrade) {
            return entry;
        }
        entries.retain(|_, entry| entry.strong_count() > 0);
        let entry = Arc::new(Entry { found: watch::Sender::new(Found::Unknown), task: Mutex::default() });
        entries.insert(key.clone(), Arc::downgrade(&entry));
        let watch = match key.0 {
            RefKind::ConfigMap => self.spawn(&key, &entry, Found::ConfigMap),
            RefKind::Secret => self.spawn(&key, &entry, Found::Secret),
        };
        *entry.task.lock() = Some(watch);
        entry
    }

    fn spawn<K>(&self, key: &Key, entry: &Arc<Entry>, wrap: fn(Arc<K>) -> Found) -> AbortHandle
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let api = Api::<K>::namespaced(self.client.clone(), &key.1);
        let config = watcher::Config::default().fields(&format!("metadata.name={}", key.2)).streaming_lists();
        tokio::spawn(follow(api, config, Arc::downgrade(entry), self.version.clone(), wrap)).abort_handle()
    }
}

async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    entry: Weak<Entry>,
    version: watch::Sender<u64>,
    wrap: fn(Arc<K>) -> Found,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut events = watcher(api, config).backoff(WatchBackoff::default()).boxed();
    let mut listed = None;
    loop {
        let found = match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => {
                listed = None;
                continue;
            }
            Ok(Some(watcher::Event::InitApply(object))) => {
                listed = Some(object);
                continue;
            }
            Ok(Some(watcher::Event::InitDone)) => listed.take().map_or(Found::Missing, |object| wrap(Arc::new(object))),
            Ok(Some(watcher::Event::Apply(object))) => wrap(Arc::new(object)),
            Ok(Some(watcher::Event::Delete(_))) => Found::Missing,
            Ok(None) => return,
            Err(error) => {
                debug!(%error, "a watch of a referred object failed, trying again");
                continue;
            }
        };
        let Some(entry) = entry.upgrade() else { return };
        entry.found.send_replace(found);
        version.send_modify(|version| *version += 1);
    }
}

impl PodReferences {
    /// The versions of all objects as they are now; differs when any of them changed.
    pub fn stamp(&self) -> Vec<Option<String>> {
        let version = |entry: &Arc<Entry>| match &*entry.found.borrow() {
            Found::ConfigMap(map) => map.metadata.resource_version.clone(),
            Found::Secret(secret) => secret.metadata.resource_version.clone(),
            Found::Unknown | Found::Missing => None,
        };
        self.0.iter().map(|(_, entry)| version(entry)).collect()
    }

    /// All objects as they are now, after each was heard of once.
    pub async fn objects(&self) -> Objects {
        let mut objects = Objects::default();
        let heard = futures::future::join_all(self.0.iter().map(|(_, entry)| first_answer(entry)));
        for (found, (key, _)) in heard.await.into_iter().zip(&self.0) {
            match found {
                Found::ConfigMap(map) => {
                    objects.config_maps.insert(key.2.clone(), map);
                }
                Found::Secret(secret) => {
                    objects.secrets.insert(key.2.clone(), secret);
                }
                Found::Missing | Found::Unknown => {}
            }
        }
        objects
    }
}

async fn first_answer(entry: &Entry) -> Found {
    let mut found = entry.found.subscribe();
    let heard = found.wait_for(|found| !matches!(found, Found::Unknown));
    match tokio::time::timeout(FIRST_ANSWER, heard).await {
        Ok(Ok(found)) => found.clone(),
        Ok(Err(_)) | Err(_) => Found::Unknown,
    }
}

/// Kind and name of all that a pod's volumes, environments and pull secrets name.
fn referred(pod: &Pod) -> BTreeSet<(RefKind, String)> {
    let spec = spec::spec(pod);
    let mut names = BTreeSet::new();
    for (_, container) in spec::containers(pod) {
        of_container(&container, &mut names);
    }
    for volume in spec.volumes.iter().flatten() {
        of_volume(volume, &mut names);
    }
    let pull_secrets = spec.image_pull_secrets.iter().flatten().filter(|secret| !secret.name.is_empty());
    names.extend(pull_secrets.map(|secret| (RefKind::Secret, secret.name.clone())));
    names
}

fn of_container(container: &Container, names: &mut BTreeSet<(RefKind, String)>) {
    for source in container.env_from.iter().flatten() {
        names.extend(source.config_map_ref.iter().map(|map| (RefKind::ConfigMap, map.name.clone())));
        names.extend(source.secret_ref.iter().map(|secret| (RefKind::Secret, secret.name.clone())));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        names.extend(source.config_map_key_ref.iter().map(|map| (RefKind::ConfigMap, map.name.clone())));
        names.extend(source.secret_key_ref.iter().map(|secret| (RefKind::Secret, secret.name.clone())));
    }
}

fn of_volume(volume: &Volume, names: &mut BTreeSet<(RefKind, String)>) {
    names.extend(volume.config_map.iter().map(|map| (RefKind::ConfigMap, map.name.clone())));
    names.extend(volume.secret.iter().filter_map(|s| Some((RefKind::Secret, s.secret_name.clone()?))));
    let projections = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    projections.for_each(|projection| of_projection(projection, names));
}

fn of_projection(projection: &VolumeProjection, names: &mut BTreeSet<(RefKind, String)>) {
    names.extend(projection.config_map.iter().map(|map| (RefKind::ConfigMap, map.name.clone())));
    names.extend(projection.secret.iter().map(|secret| (RefKind::Secret, secret.name.clone())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_refers_from_volumes_environment_and_pull_secrets() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {"name": "a", "configMap": {"name": "cm"}},
                {"name": "b", "secret": {"secretName": "s"}},
                {"name": "c", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}}],
            "containers": [{"name": "c",
                "envFrom": [{"secretRef": {"name": "from"}}],
                "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]}]}}))
        .unwrap();
        let names: Vec<String> = referred(&pod).into_iter().map(|(kind, name)| format!("{kind:?} {name}")).collect();
        assert_eq!(names, ["ConfigMap cm", "ConfigMap kube-root-ca.crt", "Secret from", "Secret pull", "Secret s"]);
    }
}
