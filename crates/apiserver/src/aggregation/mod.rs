//! Groups that other servers serve, as APIServices say: requests are passed on to them with who asks, and what they
//! serve is told among the server's own groups. (upstream: kube-aggregator)

mod available;
mod extension;
mod local;
mod proxy;
mod schemas;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use http::HeaderValue;
use kinds::KindDef;
use registry::discovery::Version;
use registry::{Lister, Registry};

use extension::{Extension, Part};
pub(crate) use schemas::{merge as merge_schemas, to_v3};

pub(crate) const GROUP: &str = "apiregistration.k8s.io";

/// The extensions of now, by group and version.
pub(crate) struct Aggregation {
    /// By which this process knows requests that it has passed on itself.
    via: HeaderValue,
    known: ArcSwap<Known>,
    services: OnceLock<Lister>,
    /// Changes when what they serve does.
    generation: AtomicU64,
}

#[derive(Default)]
struct Known {
    /// Of the APIServices in the cache that these were read from; nothing before the first.
    version: Option<u64>,
    extensions: Extensions,
}

/// By group and version.
type Extensions = HashMap<(String, String), Arc<Extension>>;

impl Default for Aggregation {
    fn default() -> Self {
        let via = HeaderValue::try_from(format!("1.1 {}", clock::uuid())).expect("hexadecimal digits make a header");
        Self { via, known: ArcSwap::default(), services: OnceLock::new(), generation: AtomicU64::new(0) }
    }
}

impl Aggregation {
    /// Who serves this group and version, if it is not this server.
    pub fn find(&self, registry: &Registry, group: &str, version: &str) -> Option<Arc<Extension>> {
        let known = self.current(registry);
        if known.extensions.is_empty() {
            return None;
        }
        known.extensions.get(&(group.to_owned(), version.to_owned())).cloned()
    }

    /// All of them, the most important groups and versions first.
    pub fn all(&self, registry: &Registry) -> Vec<Arc<Extension>> {
        let mut all: Vec<_> = self.current(registry).extensions.values().cloned().collect();
        all.sort_by_key(|extension| extension.rank());
        all
    }

    /// What discovery tells of them.
    pub fn served(&self, registry: &Registry) -> Vec<(String, Version)> {
        self.all(registry).iter().map(|extension| extension.served()).collect()
    }

    /// The parts that they add to the OpenAPI 2 document.
    pub fn documents(&self, registry: &Registry) -> Vec<Arc<Part>> {
        let available = self.all(registry).into_iter().filter(|extension| extension.available);
        available.filter_map(|extension| extension.document()).collect()
    }

    /// Grows when what discovery tells changes, of this server's kinds or of others'.
    pub fn generation(&self, registry: &Registry) -> u64 {
        let known = self.current(registry).version.unwrap_or_default();
        self.generation.load(Ordering::Acquire) + known + registry.kinds().generation()
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// An extension that is still the same keeps its connections and what is known of it, whoever else looks just now.
    fn current(&self, registry: &Registry) -> Arc<Known> {
        let lister = self.services.get_or_init(|| registry.lister(kind(registry)));
        let version = Some(lister.version());
        let known = self.known.load_full();
        if known.version == version {
            return known;
        }
        self.known.rcu(|known| match known.version == version {
            true => known.clone(),
            false => Arc::new(Known { version, extensions: read(lister, known) }),
        });
        self.known.load_full()
    }
}

fn read(lister: &Lister, known: &Known) -> Extensions {
    let services = lister.list("").into_iter().map(|entry| entry.object());
    let extensions = services.filter_map(|service| Extension::read(&service)).map(|extension| {
        let key = (extension.group.clone(), extension.version.clone());
        let extension = match known.extensions.get(&key) {
            Some(before) => extension.after(before),
            None => Arc::new(extension),
        };
        (key, extension)
    });
    extensions.collect()
}

fn kind(registry: &Registry) -> &'static KindDef {
    registry.kinds().find(GROUP, "v1", "apiservices").expect("APIServices are served")
}
