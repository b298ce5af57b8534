//! Counts objects of kinds that have no type here: custom resources.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use control::{ObjectKey, WatchBackoff};
use futures::StreamExt as _;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::debug;

use crate::discovery::{Served, discover};

/// How long a count waits for the first list of a kind.
const SYNC_MAX: Duration = Duration::from_secs(30);

/// Kinds that quotas count, each watched from the first time on.
pub struct CustomCounts {
    client: Client,
    /// By resource, as quotas name it: `widgets.example.com`.
    kinds: Mutex<HashMap<String, Arc<Kind>>>,
}

struct Kind {
    objects: Mutex<BTreeSet<ObjectKey>>,
    synced: watch::Sender<bool>,
    task: Mutex<Option<AbortHandle>>,
}

impl Drop for Kind {
    fn drop(&mut self) {
        self.task.lock().take().iter().for_each(AbortHandle::abort);
    }
}

impl CustomCounts {
    pub fn new(client: Client) -> Self {
        Self { client, kinds: Mutex::default() }
    }

    /// How many objects of a resource there are in a namespace; nothing while it is not served. `changed` is told the
    /// namespace whenever that may have changed.
    pub async fn count(
        &self,
        resource: &str,
        namespace: &str,
        changed: impl Fn(&str) + Send + Sync + 'static,
    ) -> Option<usize> {
        let known = self.kinds.lock().get(resource).cloned();
        let kind = match known {
            Some(kind) => kind,
            None => self.watch(self.served(resource).await?, changed),
        };
        let mut synced = kind.synced.subscribe();
        let waited = tokio::time::timeout(SYNC_MAX, synced.wait_for(|synced| *synced)).await;
        waited.is_ok().then(|| kind.objects.lock().iter().filter(|key| &*key.namespace == namespace).count())
    }

    async fn served(&self, resource: &str) -> Option<Served> {
        let found = discover(&self.client).await;
        let found = found.inspect_err(|error| debug!(%error, "discovery failed")).ok()?;
        found.served.into_iter().find(|served| served.group_resource() == resource && served.namespaced)
    }

    fn watch(&self, served: Served, changed: impl Fn(&str) + Send + Sync + 'static) -> Arc<Kind> {
        let mut kinds = self.kinds.lock();
        let new =
            || Arc::new(Kind { objects: Mutex::default(), synced: watch::Sender::new(false), task: Mutex::default() });
        let kind = kinds.entry(served.group_resource()).or_insert_with(new).clone();
        let mut task = kind.task.lock();
        if task.is_none() {
            let followed = follow(self.client.clone(), served, Arc::downgrade(&kind), changed);
            *task = Some(tokio::spawn(followed).abort_handle());
        }
        drop(task);
        kind
    }
}

async fn follow(client: Client, served: Served, kind: std::sync::Weak<Kind>, changed: impl Fn(&str) + Send + Sync) {
    let api = Api::<PartialObjectMeta<DynamicObject>>::all_with(client, &served.resource);
    let mut events = watcher(api, watcher::Config::default()).backoff(WatchBackoff::default()).boxed();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        let Some(kind) = kind.upgrade() else { return };
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => drop(listed.insert(ObjectKey::of(&object.metadata))),
            Ok(watcher::Event::InitDone) => {
                let before = std::mem::replace(&mut *kind.objects.lock(), listed.clone());
                kind.synced.send_replace(true);
                before.symmetric_difference(&listed).for_each(|key| changed(&key.namespace));
            }
            Ok(watcher::Event::Apply(object)) => {
                let key = ObjectKey::of(&object.metadata);
                if kind.objects.lock().insert(key.clone()) {
                    changed(&key.namespace);
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                let key = ObjectKey::of(&object.metadata);
                kind.objects.lock().remove(&key);
                changed(&key.namespace);
            }
            Err(error) => debug!(%error, "watch failed, trying again"),
        }
    }
}
