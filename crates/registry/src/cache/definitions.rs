//! Keeps the served kinds as CustomResourceDefinitions say.
//!
//! A definition's objects are loaded before its kinds are served. While they are, the pump already feeds their cache:
//! it holds back what happens until the load is in place, and then drops what the load has seen.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use kinds::custom::{Family, family, is_served, is_terminating};
use machinery::{ApiError, Object};
use store::{Error, Revision, Store, prefix_range};
use tokio::sync::{Mutex, watch};

use super::pump::read_all;
use super::{Cache, Resource};
use crate::keys::{resource_name, resource_prefix};
use crate::kind_table::KindTable;
use crate::registry::Inner;

/// How long a look at the kinds waits for definitions that were written before.
const SETTLE_WAIT: Duration = Duration::from_secs(3);
/// Wait after objects could not be loaded.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) const DEFINITIONS: (&str, &str, &str) = ("apiextensions.k8s.io", "v1", "customresourcedefinitions");

/// What is made of the definitions.
pub(crate) struct Definitions {
    known: Mutex<Known>,
    /// The definitions up to this revision are served as they say.
    settled: watch::Sender<Revision>,
}

#[derive(Default)]
struct Known {
    /// By key: the revision that was looked at, and what is to be served.
    wanted: HashMap<String, (Revision, Option<Wanted>)>,
    /// By resource, as keys name it.
    served: BTreeMap<String, Wanted>,
}

#[derive(Clone, Copy, PartialEq)]
struct Wanted {
    family: ByAddress,
    terminating: bool,
}

/// The same definition makes the same family.
#[derive(Clone, Copy)]
struct ByAddress(&'static Family);

impl PartialEq for ByAddress {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Wanted {
    fn of(definition: &Object, kinds: &KindTable) -> Option<Self> {
        let built_in = || {
            let (group, plural) = (definition.str(&["spec", "group"]), definition.str(&["spec", "names", "plural"]));
            kinds.is_built_in(group, plural)
        };
        (is_served(definition) && !built_in())
            .then(|| Self { family: ByAddress(family(definition)), terminating: is_terminating(definition) })
    }

    fn family(self) -> &'static Family {
        self.family.0
    }

    fn resource(self) -> String {
        resource_name(self.family().storage).into_owned()
    }
}

impl Definitions {
    /// Makes room in a cache, before it is loaded, for the objects of all definitions in the store.
    pub async fn read(cache: &Cache, kinds: &KindTable, store: &dyn Store) -> Result<Self, Error> {
        let mut known = Known::default();
        let (group, version, resource) = DEFINITIONS;
        if let Some(kind) = kinds.find(group, version, resource) {
            let (items, _) = read_all(store, prefix_range(&resource_prefix(kind))).await?;
            for item in &items {
                let definition = cache.decode(item).map_err(Error::Format)?;
                let wanted = Wanted::of(&definition.object(), kinds);
                known.served.extend(wanted.map(|wanted| (wanted.resource(), wanted)));
                known.wanted.insert(item.key.to_string(), (item.mod_revision, wanted));
            }
        }
        let resources = known
            .served
            .iter()
            .map(|(name, wanted)| (name.as_str().into(), Arc::new(Resource::new(wanted.family().storage))));
        cache.serve_custom(resources.collect());
        Ok(Self { known: Mutex::new(known), settled: watch::channel(0).0 })
    }

    /// Serves what was read; the cache is loaded.
    pub async fn begin(&self, kinds: &KindTable) {
        let known = self.known.lock().await;
        kinds.serve(known.served.values().map(|wanted| (wanted.family(), wanted.terminating)));
    }
}

impl Inner {
    fn definitions_resource(&self) -> Option<Arc<Resource>> {
        let (group, version, resource) = DEFINITIONS;
        self.cache.resource(self.kinds.find(group, version, resource)?)
    }

    /// Waits until the kinds are what all definitions in the cache say.
    pub async fn settle(&self) -> Result<(), ApiError> {
        let Some(wanted) = self.definitions_resource().map(|resource| resource.revision()) else { return Ok(()) };
        if *self.definitions.settled.borrow() >= wanted {
            return Ok(());
        }
        let mut settled = self.definitions.settled.subscribe();
        let reached = settled.wait_for(|revision| *revision >= wanted);
        match tokio::time::timeout(SETTLE_WAIT, reached).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ApiError::unavailable("custom resources are still being loaded, please try again")),
        }
    }

    /// Serves what the definitions in the cache say.
    async fn serve_definitions(&self) {
        let Some(resource) = self.definitions_resource() else { return };
        let mut known = self.definitions.known.lock().await;
        let mut wanted = HashMap::new();
        let revision = resource.scan(&resource_prefix(resource.kind()), "", 0, |entry| {
            let unchanged = known.wanted.get(entry.key()).filter(|(seen, _)| *seen == entry.revision());
            let now = unchanged.map_or_else(|| Wanted::of(&entry.object(), &self.kinds), |(_, wanted)| *wanted);
            wanted.insert(entry.key().to_owned(), (entry.revision(), now));
            true
        });
        let now: BTreeMap<String, Wanted> =
            wanted.values().filter_map(|(_, now)| *now).map(|now| (now.resource(), now)).collect();
        if now != known.served {
            self.change(&known.served, &now).await;
        }
        known.served = now;
        known.wanted = wanted;
        self.definitions.settled.send_replace(revision);
    }

    async fn change(&self, before: &BTreeMap<String, Wanted>, now: &BTreeMap<String, Wanted>) {
        let is_new =
            |(name, wanted): &(&String, &Wanted)| before.get(*name).is_none_or(|before| before.family != wanted.family);
        for (name, wanted) in now.iter().filter(is_new) {
            self.load_custom(name, wanted.family()).await;
        }
        self.kinds.serve(now.values().map(|wanted| (wanted.family(), wanted.terminating)));
        // Only now: who still asks for what was served before finds it until here.
        self.cache.settle_custom(|name| now.contains_key(name));
        let is_gone =
            |(name, wanted): &(&String, &Wanted)| now.get(*name).is_none_or(|now| now.family != wanted.family);
        before.iter().filter(is_gone).for_each(|(_, wanted)| wanted.family().rest());
    }

    async fn load_custom(&self, name: &str, family: &'static Family) {
        let resource = Arc::new(Resource::pending(family.storage));
        self.cache.feed(name, resource.clone());
        loop {
            match read_all(&*self.store, prefix_range(&resource_prefix(family.storage))).await {
                Ok((items, revision)) => {
                    let decoded = items.iter().filter_map(|item| self.cache.decode_or_log(&resource, item));
                    return self.cache.complete(&resource, decoded.collect(), revision);
                }
                Err(error) => tracing::error!(%error, name, "custom resources can not be loaded"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Follows the definitions until the registry is gone.
pub(crate) async fn follow(inner: Weak<Inner>) {
    let Some(resource) = inner.upgrade().and_then(|inner| inner.definitions_resource()) else { return };
    let mut moved = resource.moved().subscribe();
    drop(resource);
    loop {
        moved.borrow_and_update();
        let Some(inner) = inner.upgrade() else { return };
        inner.serve_definitions().await;
        drop(inner);
        if moved.changed().await.is_err() {
            return;
        }
    }
}
