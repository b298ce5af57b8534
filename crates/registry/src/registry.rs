//! The registry: every verb for every kind, over one store.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kinds::KindDef;
use machinery::{ApiError, Object};

use crate::admission::{Admission, AdmitAll};
use crate::answer::{Deleted, List, Written};
use crate::entry::Entry;
use crate::kind_table::KindTable;
use crate::request::{Context, DeleteOptions, ListOptions, Patch, Target, WatchOptions};
use crate::transform::Transformer;
use crate::watch::Watch;

/// The address and port ranges that Services are given.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// `10.43.0.0/16`
    pub service_cidr: String,
    /// First and last port for `NodePort` services.
    pub node_ports: (u16, u16),
}

impl Default for Hooks {
    fn default() -> Self {
        Self { service_cidr: "10.43.0.0/16".to_owned(), node_ports: (30000, 32767) }
    }
}

pub struct Config {
    pub store: Arc<dyn store::Store>,
    pub kinds: &'static [&'static KindDef],
    pub transformer: Arc<dyn Transformer>,
    pub hooks: Hooks,
}

/// A handle; clones share everything.
#[derive(Clone)]
pub struct Registry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn store::Store>,
    pub(crate) kinds: KindTable,
    pub(crate) transformer: Arc<dyn Transformer>,
    admission: ArcSwap<Box<dyn Admission>>,
}

/// Synchronous reads of the cache, for what runs inside a request.
#[derive(Clone)]
pub struct Lister {
    _registry: Registry,
    _kind: &'static KindDef,
}

impl Lister {
    pub fn get(&self, _namespace: &str, _name: &str) -> Option<Arc<Entry>> {
        None
    }

    /// The objects of a namespace; of all when it is empty.
    pub fn list(&self, _namespace: &str) -> Vec<Arc<Entry>> {
        Vec::new()
    }

    /// Changes whenever anything of the kind changed.
    pub fn version(&self) -> u64 {
        0
    }
}

fn unfinished<T>() -> Result<T, ApiError> {
    Err(ApiError::unavailable("the registry does not serve this verb"))
}

impl Registry {
    /// Loads the watch cache and starts what keeps it fresh.
    pub async fn open(config: Config) -> Result<Self, store::Error> {
        Ok(Self(Arc::new(Inner {
            store: config.store,
            kinds: KindTable::new(config.kinds),
            transformer: config.transformer,
            admission: ArcSwap::from_pointee(Box::new(AdmitAll)),
        })))
    }

    /// Once, at start-up.
    pub fn set_admission(&self, admission: Arc<dyn Admission>) {
        self.0.admission.store(Arc::new(Box::new(Shared(admission))));
    }

    pub fn kinds(&self) -> &KindTable {
        &self.0.kinds
    }

    pub async fn create(
        &self,
        _cx: &Context,
        _kind: &'static KindDef,
        _namespace: &str,
        _body: Object,
    ) -> Result<Arc<Entry>, ApiError> {
        unfinished()
    }

    pub async fn get(
        &self,
        _kind: &'static KindDef,
        _namespace: &str,
        _name: &str,
        _resource_version: &str,
    ) -> Result<Arc<Entry>, ApiError> {
        unfinished()
    }

    /// `namespace` may be empty: all of them.
    pub async fn list(
        &self,
        _kind: &'static KindDef,
        _namespace: &str,
        _options: &ListOptions,
    ) -> Result<List, ApiError> {
        unfinished()
    }

    pub async fn watch(
        &self,
        _kind: &'static KindDef,
        _namespace: &str,
        _options: &WatchOptions,
    ) -> Result<Watch, ApiError> {
        unfinished()
    }

    pub async fn update(
        &self,
        _cx: &Context,
        _kind: &'static KindDef,
        _namespace: &str,
        _name: &str,
        _target: Target,
        _body: Object,
    ) -> Result<Written, ApiError> {
        unfinished()
    }

    pub async fn patch(
        &self,
        _cx: &Context,
        _kind: &'static KindDef,
        _namespace: &str,
        _name: &str,
        _target: Target,
        _patch: &Patch,
    ) -> Result<Written, ApiError> {
        unfinished()
    }

    pub async fn delete(
        &self,
        _cx: &Context,
        _kind: &'static KindDef,
        _namespace: &str,
        _name: &str,
        _options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        unfinished()
    }

    pub async fn delete_collection(
        &self,
        _cx: &Context,
        _kind: &'static KindDef,
        _namespace: &str,
        _list: &ListOptions,
        _options: &DeleteOptions,
    ) -> Result<List, ApiError> {
        unfinished()
    }

    /// The object as an `autoscaling/v1` Scale.
    pub async fn scale(&self, _kind: &'static KindDef, _namespace: &str, _name: &str) -> Result<Object, ApiError> {
        unfinished()
    }

    /// Reads, changes and writes, again and again while others are faster; runs the pipeline of an update.
    pub async fn mutate(
        &self,
        _cx: &Context,
        _kind: &'static KindDef,
        _namespace: &str,
        _name: &str,
        _subresource: &'static str,
        _change: impl Fn(&mut Object) -> Result<(), ApiError> + Send + Sync,
    ) -> Result<Arc<Entry>, ApiError> {
        unfinished()
    }

    pub fn lister(&self, kind: &'static KindDef) -> Lister {
        Lister { _registry: self.clone(), _kind: kind }
    }
}

/// Lets a shared admission stand where an owned one is kept.
struct Shared(Arc<dyn Admission>);

#[async_trait::async_trait]
impl Admission for Shared {
    async fn mutate(
        &self,
        registry: &Registry,
        request: &crate::AdmissionRequest<'_>,
        object: &mut Object,
    ) -> Result<(), ApiError> {
        self.0.mutate(registry, request, object).await
    }

    async fn validate(
        &self,
        registry: &Registry,
        request: &crate::AdmissionRequest<'_>,
        object: Option<&Object>,
    ) -> Result<(), ApiError> {
        self.0.validate(registry, request, object).await
    }
}
