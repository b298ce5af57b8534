//! Addresses and node ports of Services: given when a Service is written, given back when the write fails or
//! the Service no longer needs them.
//!
//! upstream: pkg/registry/core/service/storage/alloc.go

use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use kinds::KindDef;
use machinery::{ApiError, Object, Reason};

use crate::answer::Deleted;
use crate::entry::Entry;
use crate::registry::{Hooks, Inner, Registry};
use crate::request::{Context, DeleteOptions};

mod addresses;
mod claims;
mod ports;
mod range;

use claims::Claims;
use range::AddressRange;

/// After this time a write whose caller went away has happened or never will.
const UNSETTLED: Duration = Duration::from_secs(60);

pub(crate) struct Allocator {
    default_range: AddressRange,
    node_ports: RangeInclusive<u16>,
}

/// What a write of a Service took: [`Reservation::settle`] says what came of it. Empty for other kinds.
#[derive(Default)]
pub(crate) struct Reservation(Option<Box<Reserved>>);

struct Reserved {
    registry: Registry,
    service: Object,
    /// The IPAddress object that was made.
    address: Option<Arc<Entry>>,
    /// Free again if the write fails.
    ports: Vec<u16>,
    /// Free once the write has happened.
    dropped: Claims,
}

impl Reservation {
    /// Gives back what the write took if it failed, and what it let go of if it happened.
    pub async fn settle(mut self, written: bool) {
        let Some(reserved) = self.0.take() else { return };
        let Reserved { registry, service, address, ports, dropped } = *reserved;
        if !written {
            return registry.give_back(&service, address.as_deref(), &ports).await;
        }
        registry.free_ports(service.uid(), &dropped.ports).await;
        if let Some(address) = dropped.address {
            registry.release_address(address, &service).await;
        }
    }
}

impl Drop for Reservation {
    /// Nobody knows whether the write happens. The address is found by who repairs leaked ones.
    fn drop(&mut self) {
        let Some(reserved) = self.0.take() else { return };
        let Reserved { registry, service, mut ports, dropped, .. } = *reserved;
        ports.extend(dropped.ports);
        if !ports.is_empty() {
            tokio::spawn(free_unused(Arc::downgrade(&registry.0), service, ports));
        }
    }
}

/// Frees those ports that the Service has not got, or not kept, after all.
async fn free_unused(inner: Weak<Inner>, service: Object, ports: Vec<u16>) {
    tokio::time::sleep(UNSETTLED).await;
    let Some(registry) = inner.upgrade().map(Registry) else { return };
    let Some(kind) = registry.kinds().by_gvk(&service.gvk()) else { return };
    let stored = registry.lister(kind).get(service.namespace(), service.name()).map(|entry| entry.object());
    let held = stored.filter(|stored| stored.uid() == service.uid()).map(|stored| Claims::of(&stored).ports);
    let held = held.unwrap_or_default();
    let unused: Vec<u16> = ports.into_iter().filter(|port| !held.contains(port)).collect();
    registry.free_ports(service.uid(), &unused).await;
}

impl Allocator {
    pub fn new(hooks: &Hooks) -> Result<Self, String> {
        let text = &hooks.service_cidr;
        let invalid = || format!("{text} is no IPv4 network with room for services, such as 10.43.0.0/16");
        let bits = text.split_once('/').and_then(|(_, bits)| bits.parse().ok());
        bits.filter(|bits: &u32| (8..=28).contains(bits)).ok_or_else(invalid)?;
        let default_range = AddressRange::parse(text).ok_or_else(invalid)?;
        Ok(Self { default_range, node_ports: hooks.node_ports.0..=hooks.node_ports.1 })
    }
}

impl Registry {
    /// The range of Service addresses that the cluster starts with.
    pub fn service_range(&self) -> &str {
        self.0.services.default_range.text()
    }

    /// The ports that Services are given on nodes.
    pub fn node_ports(&self) -> RangeInclusive<u16> {
        self.0.services.node_ports.clone()
    }

    /// Gives a Service what it needs; `old` is what it was before. Other kinds pass through.
    pub(crate) async fn reserve(
        &self,
        cx: &Context,
        kind: &KindDef,
        service: &mut Object,
        old: Option<&Object>,
    ) -> Result<Reservation, ApiError> {
        if !kind.takes_addresses {
            return Ok(Reservation::default());
        }
        let address = self.take_address(cx, service, old).await?;
        let ports = match self.take_ports(service, old, cx.dry_run).await {
            Ok(ports) => ports,
            Err(refusal) => {
                self.give_back(service, address.as_deref(), &[]).await;
                let error = Result::from(refusal)?;
                return Err(ApiError::invalid(&kind.gvk(), service.name(), &[error]));
            }
        };
        let dropped = old.map(|old| Claims::of(old).without(&Claims::of(service))).unwrap_or_default();
        let (registry, service) = (self.clone(), service.clone());
        Ok(Reservation(Some(Box::new(Reserved { registry, service, address, ports, dropped }))))
    }

    /// The write failed that these were taken for. The Service may have them all the same: by another write, or by this
    /// one where the store did not answer.
    async fn give_back(&self, service: &Object, address: Option<&Entry>, ports: &[u16]) {
        if address.is_none() && ports.is_empty() {
            return;
        }
        let Some(kind) = self.kinds().by_gvk(&service.gvk()) else { return };
        let (uid, held) = match self.get(kind, service.namespace(), service.name(), "").await {
            Ok(stored) => (stored.object().uid().to_owned(), Claims::of(&stored.object())),
            Err(error) if error.reason == Reason::NotFound => Default::default(),
            // They are found by who repairs leaked addresses, and by who wants a port.
            Err(_) => return,
        };
        let is_free = |port: &&u16| uid != service.uid() || !held.ports.contains(port);
        let free: Vec<u16> = ports.iter().filter(is_free).copied().collect();
        self.free_ports(service.uid(), &free).await;
        if let Some(made) = address
            && held.address.is_none_or(|held| held.to_string() != made.name())
        {
            self.delete_address(made).await;
        }
    }

    /// A Service is gone; other objects pass through.
    pub(crate) async fn release(&self, gone: &Entry) {
        if !gone.kind().takes_addresses {
            return;
        }
        let service = gone.object();
        let Claims { address, ports } = Claims::of(&service);
        self.free_ports(service.uid(), &ports).await;
        if let Some(address) = address {
            self.release_address(address, &service).await;
        }
    }

    /// [`Registry::create`] from within itself: the address of a Service that is being created.
    fn create_later<'a>(
        &'a self,
        cx: &'a Context,
        kind: &'static KindDef,
        object: Object,
    ) -> BoxFuture<'a, Result<Arc<Entry>, ApiError>> {
        Box::pin(self.create(cx, kind, "", object))
    }

    /// [`Registry::delete`] from within itself.
    fn delete_later<'a>(
        &'a self,
        cx: &'a Context,
        kind: &'static KindDef,
        name: &'a str,
        options: &'a DeleteOptions,
    ) -> BoxFuture<'a, Result<Deleted, ApiError>> {
        Box::pin(self.delete(cx, kind, "", name, options))
    }
}
