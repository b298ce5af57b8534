//! One shared reflector per kind in a process: a cache of typed objects that follows the server's watch.
//!
//! A reflector starts on first use and ends with its [`Informers`]. There is no periodic resync: while nothing
//! changes, nothing runs.

mod cache;
mod events;
mod reflector;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{Instrument, info_span};

use crate::ObjectKey;
use cache::Cache;
use reflector::Reflector;

/// What an informer can hold: any built-in typed kind.
pub trait Watched: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}

impl<K> Watched for K where K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}

/// A change of one object in the cache.
#[derive(Clone, Debug)]
pub enum Change<K> {
    Added(Arc<K>),
    Updated { old: Arc<K>, new: Arc<K> },
    Deleted(Arc<K>),
}

impl<K> Change<K> {
    /// The newest state known; for a deletion the last one seen.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Added(object) | Self::Deleted(object) => object,
            Self::Updated { new, .. } => new,
        }
    }

    /// The state before an update.
    pub fn old(&self) -> Option<&Arc<K>> {
        match self {
            Self::Updated { old, .. } => Some(old),
            _ => None,
        }
    }

    pub fn is_deletion(&self) -> bool {
        matches!(self, Self::Deleted(_))
    }
}

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

struct Shared<K> {
    cache: Cache<K>,
    /// Held over "apply and dispatch", so that a new subscriber sees each object exactly once.
    handlers: Mutex<Vec<Handler<K>>>,
    synced: watch::Sender<bool>,
    version: watch::Sender<u64>,
}

/// The cached objects of one kind. Cheap to clone; all clones read the same cache.
pub struct Informer<K>(Arc<Shared<K>>);

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Watched> Informer<K> {
    /// An informer that nothing feeds: for tests, and for [`Informers`].
    pub fn detached() -> Self {
        Self(Arc::new(Shared {
            cache: Cache::new(),
            handlers: Mutex::default(),
            synced: watch::Sender::new(false),
            version: watch::Sender::new(0),
        }))
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.0.cache.get(key)
    }

    /// The object `name` in `namespace`, which is empty for cluster-scoped kinds.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get(&ObjectKey::new(namespace, name))
    }

    /// All objects, ordered by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.0.cache.list()
    }

    /// The objects of one namespace, ordered by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.0.cache.in_namespace(namespace)
    }

    /// How many those are, without reading them.
    pub fn count_in_namespace(&self, namespace: &str) -> usize {
        self.0.cache.count_in_namespace(namespace)
    }

    /// The objects that name `uid` in their owner references.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.0.cache.by_index(cache::OWNER, uid)
    }

    /// Adds the index `name`, which files each object under the values that `values` gives.
    /// An index of that name that is there already stays as it is.
    pub fn add_index(&self, name: &'static str, values: fn(&K) -> Vec<String>) {
        self.0.cache.add_index(name, values);
    }

    /// The objects filed under `value` in an index made by [`Self::add_index`].
    pub fn by_index(&self, name: &'static str, value: &str) -> Vec<Arc<K>> {
        self.0.cache.by_index(name, value)
    }

    pub fn len(&self) -> usize {
        self.0.cache.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `handler` for every change from now on, after an `Added` for each object that is there.
    ///
    /// It runs on the reflector's task, so it must be short: put a key into a queue, send on a channel.
    /// It may read informers, but not subscribe to this one.
    pub fn subscribe(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut handlers = self.0.handlers.lock();
        for object in self.list() {
            handler(&Change::Added(object));
        }
        handlers.push(Box::new(handler));
    }

    /// A counter that grows with every change, for loops that look at all objects at once: changes that
    /// come while such a loop works melt into one.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    pub fn is_synced(&self) -> bool {
        *self.0.synced.borrow()
    }

    /// Resolves when the first list is in the cache.
    pub async fn synced(&self) {
        let mut synced = self.0.synced.subscribe();
        synced.wait_for(|synced| *synced).await.expect("the sender lives in the informer itself");
    }

    /// Puts `object` into the cache as a watch event would.
    pub fn apply(&self, mut object: K) {
        object.meta_mut().managed_fields = None;
        self.insert(object, None);
    }

    /// `json` is what the object was decoded from.
    fn insert(&self, object: K, json: Option<Bytes>) {
        let handlers = self.0.handlers.lock();
        let object = Arc::new(object);
        match self.0.cache.insert(object.clone(), json) {
            Some(old) if old.meta().uid != object.meta().uid => {
                self.dispatch(&handlers, Change::Deleted(old));
                self.dispatch(&handlers, Change::Added(object));
            }
            Some(old) if same_version(old.meta(), object.meta()) => {}
            Some(old) => self.dispatch(&handlers, Change::Updated { old, new: object }),
            None => self.dispatch(&handlers, Change::Added(object)),
        }
    }

    /// Takes the object out of the cache as a watch event would.
    pub fn remove(&self, meta: &ObjectMeta) {
        self.remove_key(&ObjectKey::of(meta));
    }

    fn remove_key(&self, key: &ObjectKey) {
        let handlers = self.0.handlers.lock();
        if let Some(old) = self.0.cache.remove(key) {
            self.dispatch(&handlers, Change::Deleted(old));
        }
    }

    /// Takes out everything that is not among `keys`: the list is complete.
    fn retain(&self, mut keys: Vec<ObjectKey>) {
        keys.sort_unstable();
        for gone in self.0.cache.keys().iter().filter(|key| keys.binary_search(key).is_err()) {
            self.remove_key(gone);
        }
        self.set_synced();
    }

    /// Marks the first list as complete.
    pub fn set_synced(&self) {
        self.0.synced.send_replace(true);
        self.0.version.send_modify(|version| *version += 1);
    }

    fn dispatch(&self, handlers: &[Handler<K>], change: Change<K>) {
        for handler in handlers {
            handler(&change);
        }
        self.0.version.send_modify(|version| *version += 1);
    }
}

/// A list repeats objects that have not changed since.
fn same_version(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.resource_version.is_some() && old.resource_version == new.resource_version
}

struct Inner {
    client: Client,
    /// Whether the server is in this process.
    local: bool,
    /// By kind and selectors; each value is an `Informer<K>`.
    informers: Mutex<HashMap<(TypeId, String), Box<dyn Any + Send + Sync>>>,
    reflectors: Mutex<JoinSet<()>>,
}

/// The informers of a process. Cheap to clone; the reflectors end when the last clone is dropped.
#[derive(Clone)]
pub struct Informers(Arc<Inner>);

impl Informers {
    pub fn new(client: Client) -> Self {
        Self::with(client, false)
    }

    /// Of a client whose server is in this process: what it answers shares the memory of the server's own cache.
    pub fn local(client: Client) -> Self {
        Self::with(client, true)
    }

    fn with(client: Client, local: bool) -> Self {
        Self(Arc::new(Inner { client, local, informers: Mutex::default(), reflectors: Mutex::default() }))
    }

    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The informer of all objects of a kind; its reflector starts with the first call.
    /// Must be called within a tokio runtime.
    pub fn get<K: Watched>(&self) -> Informer<K> {
        self.select::<K>("", "")
    }

    /// The informer of the objects that both selectors match, as a node agent needs of its own pods
    /// (`spec.nodeName=n1`). Equal selectors share an informer.
    pub fn select<K: Watched>(&self, fields: &str, labels: &str) -> Informer<K> {
        let mut informers = self.0.informers.lock();
        let id = (TypeId::of::<K>(), format!("{fields}\n{labels}"));
        let informer = informers.entry(id).or_insert_with(|| Box::new(self.start::<K>(fields, labels)));
        informer.downcast_ref::<Informer<K>>().expect("the key holds the kind's type").clone()
    }

    fn start<K: Watched>(&self, fields: &str, labels: &str) -> Informer<K> {
        let informer = Informer::<K>::detached();
        let reflector = Reflector::new(informer.clone(), self.0.client.clone(), self.0.local, fields, labels);
        let span = info_span!("informer", kind = %K::kind(&()), fields, labels);
        self.0.reflectors.lock().spawn(reflector.run().instrument(span));
        informer
    }
}

#[cfg(test)]
mod tests;
