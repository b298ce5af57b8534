//! The watch cache: every stored object once, encoded, and the recent changes of each resource.
//!
//! One pump follows the store and applies its events in order. Reads that must be fresh wait until the
//! pump has come as far as the store had when they began.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kinds::KindDef;
use machinery::{ApiError, Cause, Reason, protobuf};
use store::{Event, KeyValue, Revision};
use tokio::sync::watch;

use crate::entry::Entry;
use crate::keys::{ROOT, resource_prefix};
use crate::kind_table::KindTable;
use crate::transform::Transformer;

mod followed;
mod follower;
mod pump;
mod resource;

pub(crate) use follower::Follower;
pub(crate) use pump::{follow, load};
pub(crate) use resource::{Change, Read, Resource};

/// How long a read waits for the cache before it gives up.
const FRESH_WAIT: Duration = Duration::from_secs(3);

pub(crate) struct Cache {
    /// By what follows the root in keys: `pods`, `apps/deployments`.
    resources: HashMap<Box<str>, Arc<Resource>>,
    /// Everything up to this revision is in the cache.
    applied: watch::Sender<Revision>,
    transformer: Arc<dyn Transformer>,
    closed: AtomicBool,
}

impl Cache {
    pub fn new(kinds: &KindTable, transformer: Arc<dyn Transformer>) -> Self {
        let stored = kinds.iter().filter(|kind| kind.conversion.is_none() && !kind.virtual_kind);
        let resources = stored.map(|kind| {
            let prefix = resource_prefix(kind);
            (prefix[ROOT.len()..prefix.len() - 1].into(), Arc::new(Resource::new(kind)))
        });
        Self {
            resources: resources.collect(),
            applied: watch::channel(0).0,
            transformer,
            closed: AtomicBool::new(false),
        }
    }

    /// The cache of a stored kind; nothing for kinds that are not stored.
    pub fn resource(&self, storage: &kinds::KindDef) -> Option<Arc<Resource>> {
        let prefix = resource_prefix(storage);
        self.resources.get(&prefix[ROOT.len()..prefix.len() - 1]).cloned()
    }

    /// Nothing will change any more; wakes all who wait for changes.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.resources.values().for_each(|resource| resource.wake());
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub fn applied(&self) -> Revision {
        *self.applied.borrow()
    }

    /// Tells how far the cache has come, whenever it comes further.
    pub fn progress(&self) -> watch::Receiver<Revision> {
        self.applied.subscribe()
    }

    /// Waits until everything up to `revision` is in the cache.
    pub async fn wait_for(&self, revision: Revision) -> Result<(), ApiError> {
        if self.applied() >= revision {
            return Ok(());
        }
        let mut progress = self.progress();
        let reached = progress.wait_for(|applied| *applied >= revision);
        match tokio::time::timeout(FRESH_WAIT, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ApiError::unavailable("the server is shutting down")),
            Err(_) => Err(too_large(revision, self.applied())),
        }
    }

    /// The resource that a key belongs to; nothing for kinds that are not served.
    fn resource_of(&self, key: &str) -> Option<&Arc<Resource>> {
        let rest = key.strip_prefix(ROOT)?;
        let mut slashes = rest.match_indices('/').map(|(at, _)| at);
        let (first, second) = (slashes.next()?, slashes.next());
        let core = self.resources.get(&rest[..first]);
        core.or_else(|| self.resources.get(&rest[..second?]))
    }

    /// A stored value as an entry; an error names the key.
    pub fn decode(&self, stored: &KeyValue) -> Result<Arc<Entry>, String> {
        let resource = self.resource_of(&stored.key).ok_or_else(|| format!("{} is of no served kind", stored.key))?;
        let plain = self.transformer.from_storage(&stored.key, stored.value.clone());
        let json = to_json(resource.kind(), &stored.key, plain.map_err(|error| error.to_string())?)?;
        Ok(Arc::new(Entry::new(resource.kind(), &stored.key, stored.mod_revision, &json)))
    }

    fn is_outdated(&self, stored: &KeyValue) -> bool {
        self.transformer.is_outdated(&stored.key, &stored.value)
    }

    /// A store's event as a change of its resource; nothing when it is not ours or can not be read.
    pub fn change(&self, event: &Event, previous: Option<Arc<Entry>>) -> Option<Change> {
        let previous = previous.or_else(|| self.decode_or_log(event.previous.as_ref()?));
        let Some(value) = &event.value else {
            let last = Arc::new(previous.as_ref()?.at_revision(event.revision));
            return Some(Change { entry: last, previous, deleted: true });
        };
        let stored = KeyValue {
            key: event.key.clone(),
            value: value.clone(),
            create_revision: event.create_revision,
            mod_revision: event.revision,
        };
        Some(Change { entry: self.decode_or_log(&stored)?, previous, deleted: false })
    }

    fn decode_or_log(&self, stored: &KeyValue) -> Option<Arc<Entry>> {
        let decoded = self.decode(stored);
        decoded.map_err(|error| tracing::error!(error, "a stored object is left out")).ok()
    }

    /// Takes one event of the store in.
    fn apply(&self, event: &Event) {
        let Some(resource) = self.resource_of(&event.key) else { return };
        if let Some(change) = self.change(event, resource.get(&event.key)) {
            resource.apply(change);
        }
    }
}

/// What is stored, as JSON. Upstream stores built-in kinds as protobuf.
fn to_json(kind: &KindDef, key: &str, plain: Bytes) -> Result<Bytes, String> {
    if !plain.starts_with(protobuf::MAGIC) {
        return match serde_json::from_slice::<serde::de::IgnoredAny>(&plain) {
            Ok(_) => Ok(plain),
            Err(error) => Err(format!("{key} holds no JSON: {error}")),
        };
    }
    let object = match schema::message(kind.schema) {
        Some(message) => protobuf::decode_protobuf(&plain, message.name),
        None => Err(ApiError::internal(format!("objects of {} have no protobuf form", kind.gvk()))),
    };
    let object = object.map_err(|error| format!("{key} can not be read: {error}"))?;
    if object.gvk() != kind.gvk() {
        return Err(format!("{key} is stored as {}, where {} is expected", object.gvk(), kind.gvk()));
    }
    Ok(Bytes::from(object.to_bytes()))
}

fn too_large(revision: Revision, current: Revision) -> ApiError {
    let message = format!("Timeout: Too large resource version: {revision}, current: {current}");
    let mut error = ApiError::new(Reason::Timeout, message);
    let cause = Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    };
    error.details =
        Some(Box::new(machinery::error::Details { causes: vec![cause], retry_after_seconds: 1, ..Default::default() }));
    error
}
