//! The watch cache: every stored object once, encoded, and the recent changes of each resource.
//!
//! One pump follows the store and applies its events in order. Reads that must be fresh wait until the
//! pump has come as far as the store had when they began.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use kinds::KindDef;
use machinery::{ApiError, Cause, GroupVersion, GroupVersionKind, Object, Reason, protobuf};
use store::{Event, KeyValue, Revision};
use tokio::sync::watch;

use crate::convert;
use crate::entry::Entry;
use crate::keys::{Names, resource_name};
use crate::kind_table::KindTable;
use crate::transform::Transformer;

mod definitions;
mod followed;
mod follower;
mod pump;
mod resource;

pub(crate) use definitions::{Definitions, follow as follow_definitions};
pub(crate) use follower::Follower;
pub(crate) use pump::{follow, load};
pub(crate) use resource::{Change, Read, Resource};

/// How long a read waits for the cache before it gives up.
const FRESH_WAIT: Duration = Duration::from_secs(3);

type Resources = HashMap<Box<str>, Arc<Resource>>;

pub(crate) struct Cache {
    /// Those of built-in kinds, by what follows the root in keys: `pods`, `services/specs`.
    built_in: Resources,
    custom: ArcSwap<Custom>,
    /// Everything up to this revision is in the cache.
    applied: watch::Sender<Revision>,
    transformer: Arc<dyn Transformer>,
    closed: AtomicBool,
}

/// The resources of custom kinds. They are replaced as a whole.
#[derive(Clone, Default)]
struct Custom {
    serving: Resources,
    /// Being loaded, to be served then.
    coming: Resources,
}

impl Cache {
    pub fn new(kinds: &KindTable, transformer: Arc<dyn Transformer>) -> Self {
        let stored = kinds.iter().filter(|kind| kind.is_stored());
        let resources = stored.map(|kind| (resource_name(kind).into(), Arc::new(Resource::new(kind))));
        Self {
            built_in: resources.collect(),
            custom: ArcSwap::default(),
            applied: watch::channel(0).0,
            transformer,
            closed: AtomicBool::new(false),
        }
    }

    /// The cache of a stored kind; nothing for kinds that are not stored.
    pub fn resource(&self, storage: &kinds::KindDef) -> Option<Arc<Resource>> {
        let name = resource_name(storage);
        match storage.custom {
            None => self.built_in.get(&*name).cloned(),
            Some(_) => self.custom.load().serving.get(&*name).cloned(),
        }
    }

    /// Serves these custom resources and no others.
    fn serve_custom(&self, serving: Resources) {
        self.custom.store(Arc::new(Custom { serving, coming: Resources::new() }));
    }

    /// Lets what happens to a resource come to `resource`, which is being loaded.
    fn feed(&self, name: &str, resource: Arc<Resource>) {
        let mut custom = Custom::clone(&self.custom.load());
        custom.coming.insert(name.into(), resource);
        self.custom.store(Arc::new(custom));
    }

    /// Serves what has come, and ends what is replaced or not `kept`.
    fn settle_custom(&self, kept: impl Fn(&str) -> bool) {
        let before = self.custom.load_full();
        let mut serving = before.serving.clone();
        serving.extend(before.coming.clone());
        serving.retain(|name, _| kept(name));
        let mut over = before.serving.clone();
        over.retain(|name, resource| serving.get(name).is_none_or(|now| !Arc::ptr_eq(now, resource)));
        self.serve_custom(serving);
        over.values().for_each(|resource| resource.retire());
    }

    /// Puts what was loaded at `revision` into a resource that is fed, and what happened since.
    fn complete(&self, resource: &Resource, entries: Vec<Arc<Entry>>, revision: Revision) {
        resource.place(entries, revision);
        while let Some(events) = resource.held_back() {
            for event in events.iter().filter(|event| event.revision > revision) {
                self.apply_to(resource, event);
            }
        }
    }

    /// Every resource that is served.
    fn resources(&self) -> Vec<Arc<Resource>> {
        self.built_in.values().cloned().chain(self.custom.load().serving.values().cloned()).collect()
    }

    /// Nothing will change any more; wakes all who wait for changes.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.resources().iter().for_each(|resource| resource.wake());
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
    fn resource_of(&self, key: &str) -> Option<Arc<Resource>> {
        let names = Names::of(key)?;
        named(&names, &self.built_in).or_else(|| named(&names, &self.custom.load().serving))
    }

    /// A stored value as an entry; an error names the key.
    pub fn decode(&self, stored: &KeyValue) -> Result<Arc<Entry>, String> {
        let resource = self.resource_of(&stored.key).ok_or_else(|| format!("{} is of no served kind", stored.key))?;
        self.decode_for(&resource, stored)
    }

    fn decode_for(&self, resource: &Resource, stored: &KeyValue) -> Result<Arc<Entry>, String> {
        let (key, revision) = (&stored.key, stored.mod_revision);
        let plain = self.transformer.from_storage(key, stored.value.clone());
        let json = to_json(resource.kind(), key, plain.map_err(|error| error.to_string())?)?;
        let Some(custom) = resource.kind().custom else {
            return Ok(Arc::new(Entry::new(resource.kind(), key, revision, &json)));
        };
        let mut object: Object = serde_json::from_slice(&json).map_err(|error| format!("{key}: {error}"))?;
        let version = custom.family().version(object.api_version());
        let kind = version.ok_or_else(|| format!("{key} is of {}, which is not defined", object.api_version()))?;
        kind.read_stored(&mut object);
        Ok(Arc::new(Entry::new(kind, key, revision, &object.to_bytes())))
    }

    fn is_outdated(&self, stored: &KeyValue) -> bool {
        self.transformer.is_outdated(&stored.key, &stored.value)
    }

    /// A store's event as a change of its resource; nothing when it can not be read.
    pub fn change(&self, resource: &Resource, event: &Event, previous: Option<Arc<Entry>>) -> Option<Change> {
        let previous = previous.or_else(|| self.decode_or_log(resource, event.previous.as_ref()?));
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
        Some(Change { entry: self.decode_or_log(resource, &stored)?, previous, deleted: false })
    }

    fn decode_or_log(&self, resource: &Resource, stored: &KeyValue) -> Option<Arc<Entry>> {
        let decoded = self.decode_for(resource, stored);
        decoded.map_err(|error| tracing::error!(error, "a stored object is left out")).ok()
    }

    /// Takes one event of the store in.
    fn apply(&self, event: &Event) {
        let Some(names) = Names::of(&event.key) else { return };
        if let Some(resource) = named(&names, &self.built_in) {
            return self.apply_to(&resource, event);
        }
        let custom = self.custom.load();
        for resource in [&custom.serving, &custom.coming].into_iter().filter_map(|resources| named(&names, resources)) {
            if !resource.holds_back(event) {
                self.apply_to(&resource, event);
            }
        }
    }

    fn apply_to(&self, resource: &Resource, event: &Event) {
        if let Some(change) = self.change(resource, event, resource.get(&event.key)) {
            resource.apply(change);
        }
    }
}

/// What is stored, as JSON in the version that `kind` is. Upstream stores built-in kinds as protobuf, and those that
/// were not written for long in an earlier version.
fn to_json(kind: &KindDef, key: &str, plain: Bytes) -> Result<Bytes, String> {
    let is_protobuf = plain.starts_with(protobuf::MAGIC);
    let found = match is_protobuf {
        true => protobuf::kind_of(&plain).map_err(|error| format!("{key} can not be read: {error}"))?,
        false => serde_json::from_slice::<Type>(&plain)
            .map(|of| of.gvk())
            .map_err(|error| format!("{key} holds no JSON: {error}"))?,
    };
    if !is_protobuf && (kind.custom.is_some() || found.kind.is_empty() || found == kind.gvk()) {
        return Ok(plain);
    }
    if let Some(retired) = kind.retired.filter(|of| found == GroupVersionKind::new(kind.group, of.version, kind.kind)) {
        let mut object = serde_json::from_slice(&plain).map_err(|error| format!("{key} can not be read: {error}"))?;
        (retired.to_storage)(&mut object);
        convert::set_type(kind, &mut object);
        return Ok(Bytes::from(object.to_bytes()));
    }
    let stored_as_kind = |version: &KindDef| match &version.conversion {
        Some(conversion) => version.resource == kind.resource && conversion.storage == (kind.group, kind.version),
        None => version.gvk() == kind.gvk(),
    };
    let version = kinds::known().iter().find(|version| version.gvk() == found && stored_as_kind(version));
    let version = version.ok_or_else(|| format!("{key} is stored as {found}, where {} is expected", kind.gvk()))?;
    let object = match schema::message(version.schema) {
        _ if !is_protobuf => serde_json::from_slice(&plain).map_err(|error| ApiError::internal(error.to_string())),
        Some(message) => protobuf::decode_protobuf(&plain, message.name),
        None => Err(ApiError::internal(format!("objects of {found} have no protobuf form"))),
    };
    let object: Object = object.map_err(|error| format!("{key} can not be read: {error}"))?;
    Ok(Bytes::from(convert::to_storage(version, kind, object).to_bytes()))
}

#[derive(serde::Deserialize)]
struct Type<'a> {
    #[serde(borrow, default, rename = "apiVersion")]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
}

impl Type<'_> {
    fn gvk(&self) -> GroupVersionKind {
        let GroupVersion { group, version } = GroupVersion::parse(&self.api_version);
        GroupVersionKind::new(group, version, self.kind.as_ref())
    }
}

fn named(names: &Names<'_>, resources: &Resources) -> Option<Arc<Resource>> {
    resources.get(names.first).or_else(|| resources.get(names.both?)).cloned()
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
