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

/// Kinds that quotas count, each watched from the first time on until it is served no more.
pub struct CustomCounts {
    client: Client,
    /// By resource, as quotas name it: `widgets.example.com`.
    kinds: Mutex<HashMap<String, Arc<Kind>>>,
}

struct Kind {
    objects: Mutex<BTreeSet<ObjectKey>>,
    state: watch::Sender<State>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Listing,
    Synced,
    /// It is not served, at least not in this version.
    Gone,
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
    /// namespace whenever that may have changed, or nothing where it may have in all of them.
    pub async fn count(
        &self,
        resource: &str,
        namespace: &str,
        changed: impl Fn(Option<&str>) + Send + Sync + 'static,
    ) -> Option<usize> {
        let kind = match self.known(resource) {
            Some(kind) => kind,
            None => self.watch(self.served(resource).await?, changed),
        };
        let mut state = kind.state.subscribe();
        let waited = tokio::time::timeout(SYNC_MAX, state.wait_for(|state| *state != State::Listing)).await;
        let synced = waited.is_ok_and(|state| state.is_ok_and(|state| *state == State::Synced));
        synced.then(|| kind.objects.lock().iter().filter(|key| &*key.namespace == namespace).count())
    }

    fn known(&self, resource: &str) -> Option<Arc<Kind>> {
        let mut kinds = self.kinds.lock();
        if kinds.get(resource).is_some_and(|kind| *kind.state.borrow() == State::Gone) {
            kinds.remove(resource);
        }
        kinds.get(resource).cloned()
    }

    async fn served(&self, resource: &str) -> Option<Served> {
        let found = discover(&self.client).await;
        let found = found.inspect_err(|error| debug!(%error, "discovery failed")).ok()?;
        found.served.into_iter().find(|served| served.group_resource() == resource && served.namespaced)
    }

    fn watch(&self, served: Served, changed: impl Fn(Option<&str>) + Send + Sync + 'static) -> Arc<Kind> {
        let mut kinds = self.kinds.lock();
        let new = || {
            let state = watch::Sender::new(State::Listing);
            Arc::new(Kind { objects: Mutex::default(), state, task: Mutex::default() })
        };
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

async fn follow(
    client: Client,
    served: Served,
    kind: std::sync::Weak<Kind>,
    changed: impl Fn(Option<&str>) + Send + Sync,
) {
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
                kind.state.send_replace(State::Synced);
                before.symmetric_difference(&listed).for_each(|key| changed(Some(&key.namespace)));
            }
            Ok(watcher::Event::Apply(object)) => {
                let key = ObjectKey::of(&object.metadata);
                if kind.objects.lock().insert(key.clone()) {
                    changed(Some(&key.namespace));
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                let key = ObjectKey::of(&object.metadata);
                kind.objects.lock().remove(&key);
                changed(Some(&key.namespace));
            }
            Err(error) if is_gone(&error) => {
                kind.state.send_replace(State::Gone);
                return changed(None);
            }
            Err(error) => debug!(%error, "watch failed, trying again"),
        }
    }
}

/// Whether there is nothing to watch at this path.
fn is_gone(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let (InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
