//! The registry: every verb for every kind, over one store.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kinds::KindDef;
use machinery::{ApiError, Object, Reason};
use store::Revision;
use tokio::sync::watch;
use trace::attribute;

use crate::admission::{Admission, AdmitAll};
use crate::allocate::Allocator;
use crate::answer::Changed;
use crate::background;
use crate::cache::{self, Cache, Definitions, Read, Resource};
use crate::conversion::{Converter, converts_by_webhook};
use crate::convert::view;
use crate::entry::Entry;
use crate::errors::of_store;
use crate::keys::object_key;
use crate::kind_table::KindTable;
use crate::list::{parse_revision, scan_as};
use crate::request::WatchOptions;
use crate::scale;
use crate::selection::Selection;
use crate::transform::Transformer;
use crate::watch::{Bookmarks, Start, Watch};

/// What administrators choose: ranges that Services are given from, and how long events are kept.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// An IPv4 network: `10.43.0.0/16`.
    pub service_cidr: String,
    /// First and last port for `NodePort` services.
    pub node_ports: (u16, u16),
    /// How long events are kept after they last happened.
    pub event_ttl: Duration,
    /// Kinds that the API has no paths for, though the server uses them.
    pub unserved: &'static [&'static KindDef],
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            service_cidr: "10.43.0.0/16".to_owned(),
            node_ports: (30000, 32767),
            event_ttl: Duration::from_secs(60 * 60),
            unserved: &[],
        }
    }
}

pub struct Config {
    pub store: Arc<dyn store::Store>,
    pub kinds: &'static [&'static KindDef],
    pub transformer: Arc<dyn Transformer>,
    pub hooks: Hooks,
}

/// How long the store of a healthy server may take to answer.
const STORE_WITHIN: Duration = Duration::from_secs(2);

/// A handle; clones share everything.
#[derive(Clone)]
pub struct Registry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub store: Arc<dyn store::Store>,
    pub kinds: KindTable,
    pub cache: Arc<Cache>,
    pub transformer: Arc<dyn Transformer>,
    pub definitions: Definitions,
    pub services: Allocator,
    pub event_ttl: Duration,
    /// The revision before which this process has forgotten everything.
    pub forgotten: watch::Sender<Revision>,
    admission: OnceLock<Arc<dyn Admission>>,
    pub converter: OnceLock<Arc<dyn Converter>>,
}

impl Drop for Inner {
    /// Ends the watches, which would otherwise wait for changes that never come.
    fn drop(&mut self) {
        self.cache.close();
    }
}

/// Synchronous reads of the cache, for what runs inside a request.
#[derive(Clone)]
pub struct Lister {
    resource: Arc<Resource>,
    kind: &'static KindDef,
}

impl Lister {
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        let key = object_key(self.resource.kind(), namespace, name);
        self.resource.get(&key).map(|entry| view(&entry, self.kind))
    }

    /// The objects of a namespace; of all when it is empty.
    pub fn list(&self, namespace: &str) -> Vec<Arc<Entry>> {
        let prefix = crate::keys::namespace_prefix(self.resource.kind(), namespace);
        let mut found = Vec::new();
        self.resource.scan(&prefix, "", 0, |entry| {
            found.push(view(entry, self.kind));
            true
        });
        found
    }

    /// All objects, and the cursor of the change that is yet to come.
    pub fn snapshot(&self) -> (Vec<Arc<Entry>>, u64) {
        let (entries, cursor) = self.resource.snapshot();
        (entries.iter().map(|entry| view(entry, self.kind)).collect(), cursor)
    }

    /// The changes from `cursor` on, and the cursor behind them; nothing when they are no longer all kept.
    pub fn changes(&self, mut cursor: u64) -> Option<(Vec<Changed>, u64)> {
        let mut changes = Vec::new();
        loop {
            match self.resource.read(cursor) {
                Read::Change(change, next) => {
                    changes.push(Changed { entry: view(&change.entry, self.kind), deleted: change.deleted });
                    cursor = next;
                }
                Read::UpToDate => return Some((changes, cursor)),
                Read::Behind => return None,
            }
        }
    }

    /// How many objects there are, in all namespaces.
    pub fn count(&self) -> usize {
        self.resource.count()
    }

    /// Changes whenever anything of the kind changed.
    pub fn version(&self) -> u64 {
        *self.resource.moved().borrow()
    }
}

/// A resource version of a read or a watch; upstream takes a wrong one for a failure of its own.
fn read_revision(text: &str) -> Result<Revision, ApiError> {
    parse_revision(text).map_err(|error| ApiError::new(Reason::Unknown, error.to_string()))
}

impl Registry {
    /// Loads the watch cache and starts what keeps it fresh. Must run inside a tokio runtime.
    pub async fn open(config: Config) -> Result<Self, store::Error> {
        let kinds = KindTable::new(config.kinds, config.hooks.unserved);
        let cache = Arc::new(Cache::new(&kinds, config.transformer.clone()));
        let definitions = Definitions::read(&cache, &kinds, &*config.store).await?;
        let loaded = cache::load(&cache, &*config.store).await?;
        definitions.begin(&kinds).await;
        let services = Allocator::new(&config.hooks).map_err(store::Error::Format)?;
        tokio::spawn(cache::follow(Arc::downgrade(&cache), Arc::downgrade(&config.store), loaded.revision));
        let registry = Self(Arc::new(Inner {
            store: config.store,
            kinds,
            cache,
            transformer: config.transformer,
            definitions,
            services,
            event_ttl: config.hooks.event_ttl,
            forgotten: watch::Sender::new(0),
            admission: OnceLock::new(),
            converter: OnceLock::new(),
        }));
        for kind in registry.kinds().iter().filter(|kind| kind.takes_addresses) {
            if let Some(stored) = registry.0.cache.resource(kind) {
                registry.adopt_ports(&stored).await?;
            }
        }
        tokio::spawn(cache::follow_definitions(Arc::downgrade(&registry.0)));
        background::start(&registry, loaded.outdated);
        Ok(registry)
    }

    /// Once, at start-up; until then everything is admitted.
    pub fn set_admission(&self, admission: Arc<dyn Admission>) {
        if self.0.admission.set(admission).is_err() {
            tracing::error!("admission was set before; the first one stays");
        }
    }

    /// For calls that make something without a write of their own, such as tokens.
    pub fn admission(&self) -> &dyn Admission {
        self.0.admission.get().map_or(&AdmitAll, |admission| &**admission)
    }

    pub fn kinds(&self) -> &KindTable {
        &self.0.kinds
    }

    /// Whether the store answers, soon.
    pub async fn store_answers(&self) -> bool {
        let answer = tokio::time::timeout(STORE_WITHIN, self.0.store.revision()).await;
        answer.is_ok_and(|answer| answer.is_ok())
    }

    /// Waits until the kind that a path names is what all definitions say that were written before.
    pub async fn settle_kind(&self, group: &str, version: &str, resource: &str) -> Result<(), ApiError> {
        match self.kinds().find(group, version, resource) {
            Some(kind) if kind.custom.is_none() => return Ok(()),
            // Custom groups have a dot; what else is not there will not come.
            None if !group.contains('.') => return Ok(()),
            Some(_) => {}
            None => self.fresh().await?,
        }
        self.settle().await
    }

    /// Waits until the kinds are what all definitions say that the cache has.
    pub async fn settle(&self) -> Result<(), ApiError> {
        self.0.settle().await
    }

    /// Bytes that the store takes on disk.
    pub fn allocated_bytes(&self) -> Option<u64> {
        self.0.store.allocated_bytes()
    }

    /// How far the cache has come.
    pub fn revision(&self) -> Revision {
        self.0.cache.applied()
    }

    /// Panics for kinds that are never stored, such as reviews. Of a custom kind that has gone there is nothing.
    pub fn lister(&self, kind: &'static KindDef) -> Lister {
        let gone = || kind.custom.map(|_| Arc::new(Resource::new(self.kinds().storage(kind))));
        Lister { resource: self.resource(kind).ok().or_else(gone).expect("a lister's kind is stored"), kind }
    }

    /// The cache of a kind; kinds that are not stored have no path to read them by.
    pub(crate) fn resource(&self, kind: &'static KindDef) -> Result<Arc<Resource>, ApiError> {
        self.0.cache.resource(self.kinds().storage(kind)).ok_or_else(ApiError::no_such_path)
    }

    /// Waits until the cache shows everything that was written before.
    pub(crate) async fn fresh(&self) -> Result<(), ApiError> {
        let newest = self.0.store.revision().await.map_err(of_store)?;
        self.0.cache.wait_for(newest).await
    }

    /// `resource_version` empty: the newest; `"0"`: what is at hand; else: not older than that.
    pub async fn get(
        &self,
        kind: &'static KindDef,
        namespace: &str,
        name: &str,
        resource_version: &str,
    ) -> Result<Arc<Entry>, ApiError> {
        let reading = async {
            self.wait_for(resource_version).await?;
            self.seen_one(&self.current(kind, namespace, name)?, kind).await
        };
        let attributes = || {
            let key = object_key(self.kinds().storage(kind), namespace, name);
            vec![attribute("type", kind.group_resource().to_string()), attribute("key", key)]
        };
        trace::step("cacher.Get", attributes, reading).await
    }

    /// The object in its stored version, as the cache has it.
    pub(crate) fn current(&self, kind: &'static KindDef, namespace: &str, name: &str) -> Result<Arc<Entry>, ApiError> {
        let key = object_key(self.kinds().storage(kind), namespace, name);
        self.resource(kind)?.get(&key).ok_or_else(|| ApiError::not_found(&kind.group_resource(), name))
    }

    async fn wait_for(&self, resource_version: &str) -> Result<(), ApiError> {
        match resource_version {
            "" => self.fresh().await,
            revision => self.0.cache.wait_for(read_revision(revision)?).await,
        }
    }

    /// `namespace` may be empty: all of them.
    pub async fn watch(
        &self,
        kind: &'static KindDef,
        namespace: &str,
        options: &WatchOptions,
    ) -> Result<Watch, ApiError> {
        let selection = Selection::new(kind, namespace, &options.label_selector, &options.field_selector)?;
        let resource = self.resource(kind)?;
        let revision = read_revision(&options.resource_version)?;
        let start = match options.send_initial_events {
            None | Some(false) if revision > 0 => Start::After(revision),
            initial => {
                self.wait_for(&options.resource_version).await?;
                match initial {
                    Some(false) => Start::After(self.0.cache.applied()),
                    _ => self.objects(&resource, namespace, &selection).await?,
                }
            }
        };
        let bookmarks = match (options.allow_bookmarks, options.send_initial_events) {
            (true, Some(true)) => Bookmarks::InitialEventsEnd,
            (true, _) => Bookmarks::Regular,
            (false, _) => Bookmarks::None,
        };
        let (cache, store) = (self.0.cache.clone(), Arc::downgrade(&self.0.store));
        let watch = Watch::new(cache, store, resource, selection, start, bookmarks, options.deadline);
        Ok(if converts_by_webhook(kind) { watch.converting(Arc::downgrade(&self.0), kind) } else { watch })
    }

    async fn objects(&self, resource: &Resource, namespace: &str, selection: &Selection) -> Result<Start, ApiError> {
        let prefix = crate::keys::namespace_prefix(resource.kind(), namespace);
        let converts = converts_by_webhook(selection.kind());
        let readable = if converts { selection.of_any_version() } else { selection.clone() };
        let mut objects = Vec::new();
        let revision = scan_as(selection.kind(), resource, (&prefix, ""), self.0.cache.applied(), |entry| {
            objects.extend(readable.pick(entry));
            true
        });
        if converts {
            let seen = self.seen(objects, selection.kind()).await?;
            objects = seen.iter().filter_map(|entry| selection.pick(entry)).collect();
        }
        Ok(Start::Objects(objects, revision))
    }

    /// The object as an `autoscaling/v1` Scale.
    pub async fn scale(&self, kind: &'static KindDef, namespace: &str, name: &str) -> Result<Object, ApiError> {
        let entry = self.get(kind, namespace, name, "").await?;
        let (paths, object) = (scale::paths(kind)?, entry.object());
        if kind.custom.is_some() && object.get(paths.spec_replicas).is_none() {
            let path = format!(".{}", paths.spec_replicas.join("."));
            return Err(ApiError::internal(format!("the spec replicas field {path:?} does not exist")));
        }
        Ok(scale::of(&paths, &object))
    }
}
