//! Addresses of Services: each is an IPAddress object that names its Service. Who makes the object has the
//! address, so allocation is as exact as the store, whoever else allocates. An address that names a Service from
//! before is that Service's: a server that was killed between the two writes leaves it behind.
//!
//! upstream: pkg/registry/core/service/ipallocator

use std::net::Ipv4Addr;
use std::sync::Arc;

use kinds::KindDef;
use kinds::networking::{ALLOCATOR, MANAGED_BY_LABEL, allocated_labels};
use machinery::field::{Error, Path};
use machinery::{ApiError, Object, Reason};
use serde_json::{Map, Value, json};

use super::claims::{Claims, needs_address};
use super::range::AddressRange;
use crate::entry::Entry;
use crate::registry::Registry;
use crate::request::{Context, DeleteOptions};

const GROUP: &str = "networking.k8s.io";

/// Namespace and name of the Service through which pods reach the API.
const API_SERVICE: (&str, &str) = ("default", "kubernetes");

/// The IPAddress object of an address that a Service is given.
fn ip_address(address: Ipv4Addr, namespace: &str, service: &str) -> Value {
    let labels = allocated_labels(address.into()).map(|(label, value)| (label.to_owned(), value.into()));
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {"name": address.to_string(), "labels": Map::from_iter(labels)},
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": namespace, "name": service}},
    })
}

/// Whether the allocator made the IPAddress object for this Service.
fn is_for(address: &Object, service: &Object) -> bool {
    let parent = |field| address.str(&["spec", "parentRef", field]);
    let made = address.labels().get(MANAGED_BY_LABEL).is_some_and(|by| by == ALLOCATOR);
    made && (parent("group"), parent("resource"), parent("namespace"), parent("name"))
        == ("", "services", service.namespace(), service.name())
}

/// What came of the claim of an address.
enum Claimed {
    Made(Arc<Entry>),
    /// It is the Service's already.
    Held,
    /// It is something else's.
    Taken,
}

/// Whether a range gives addresses: unless it is on its way out, or not ready.
fn gives(range: &Object) -> bool {
    let ready = range.list(&["status", "conditions"]).iter().find(|condition| condition["type"] == "Ready");
    range.str(&["metadata", "deletionTimestamp"]).is_empty() && ready.is_none_or(|ready| ready["status"] == "True")
}

impl Registry {
    /// Gives the Service an address if it needs one, and answers the IPAddress object made for it.
    pub(super) async fn take_address(
        &self,
        cx: &Context,
        service: &mut Object,
        old: Option<&Object>,
    ) -> Result<Option<Arc<Entry>>, ApiError> {
        if !needs_address(service) {
            return Ok(None);
        }
        let held = old.and_then(|old| Claims::of(old).address);
        let made = match Claims::of(service).address {
            Some(asked) if held == Some(asked) => None,
            Some(asked) => self.take_asked(cx, asked, service).await?,
            None => self.take_any(cx, service).await?,
        };
        let address = service.str(&["spec", "clusterIP"]).to_owned();
        service.set_default(&["spec", "clusterIPs"], json!([address]));
        Ok(made)
    }

    async fn take_asked(
        &self,
        cx: &Context,
        asked: Ipv4Addr,
        service: &Object,
    ) -> Result<Option<Arc<Entry>>, ApiError> {
        let refused = |why: &str| {
            let value = service.get(&["spec", "clusterIPs"]).cloned().unwrap_or_else(|| json!([asked.to_string()]));
            let path = Path::new("spec").child("clusterIPs");
            invalid(service, Error::invalid(&path, value, format!("failed to allocate IP {asked}: {why}")))
        };
        let ranges = self.address_ranges().await?;
        let Some(range) = ranges.iter().find(|range| range.contains(asked)) else {
            return Err(refused("the provided network does not match the current range"));
        };
        if !range.is_usable(asked) {
            let text = range.text();
            return Err(refused(&format!(
                "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {text}"
            )));
        }
        match self.claim(cx, asked, service).await? {
            Claimed::Made(made) => Ok(Some(made)),
            Claimed::Held => Ok(None),
            Claimed::Taken => Err(refused("provided IP is already allocated")),
        }
    }

    /// Any free address of the first range that has one.
    async fn take_any(&self, cx: &Context, service: &mut Object) -> Result<Option<Arc<Entry>>, ApiError> {
        let addresses = self.lister(self.ip_addresses());
        let is_api = (service.namespace(), service.name()) == API_SERVICE;
        for range in self.address_ranges().await? {
            let first = is_api.then(|| range.first());
            let candidates = range.candidates(clock::random_below);
            let free = candidates.filter(|candidate| addresses.get("", &candidate.to_string()).is_none());
            for candidate in first.into_iter().chain(free) {
                let made = match self.claim(cx, candidate, service).await? {
                    Claimed::Made(made) => Some(made),
                    Claimed::Held => None,
                    Claimed::Taken => continue,
                };
                service.set(&["spec", "clusterIP"], candidate.to_string());
                return Ok(made);
            }
        }
        let path = Path::new("spec").child("clusterIPs");
        Err(invalid(service, Error::invalid(&path, Value::Null, "failed to allocate a serviceIP: range is full")))
    }

    /// Makes the IPAddress object unless there is one. A dry run makes none.
    async fn claim(&self, cx: &Context, address: Ipv4Addr, service: &Object) -> Result<Claimed, ApiError> {
        let object = ip_address(address, service.namespace(), service.name());
        let object = Object::from_value(object).expect("the literal is an object");
        let cx = Context { dry_run: cx.dry_run, ..Context::of_server() };
        let kind = self.ip_addresses();
        match self.create_later(&cx, kind, object).await {
            Ok(_) if cx.dry_run => Ok(Claimed::Held),
            Ok(made) => Ok(Claimed::Made(made)),
            Err(error) if error.reason == Reason::AlreadyExists => {
                let holder = self.get(kind, "", &address.to_string(), "").await;
                let is_held = holder.is_ok_and(|holder| is_for(&holder.object(), service));
                Ok(if is_held { Claimed::Held } else { Claimed::Taken })
            }
            Err(error) => Err(error),
        }
    }

    /// The Service no longer needs the address; one that someone else has meanwhile stays.
    pub(super) async fn release_address(&self, address: Ipv4Addr, service: &Object) {
        let Ok(entry) = self.get(self.ip_addresses(), "", &address.to_string(), "").await else { return };
        if is_for(&entry.object(), service) {
            self.delete_address(&entry).await;
        }
    }

    /// What can not be deleted is repaired later.
    pub(super) async fn delete_address(&self, entry: &Entry) {
        let options = DeleteOptions { uid: Some(entry.object().uid().to_owned()), ..DeleteOptions::default() };
        if let Err(error) = self.delete_later(&Context::of_server(), self.ip_addresses(), entry.name(), &options).await
        {
            tracing::warn!(%error, address = entry.name(), "an address of a Service stays allocated");
        }
    }

    /// The ranges to take from, the cluster's own first. Before that is stored it is what the flags say.
    async fn address_ranges(&self) -> Result<Vec<AddressRange>, ApiError> {
        self.fresh().await?;
        let kind = self.kinds().find(GROUP, "v1", "servicecidrs").expect("ServiceCIDR is served");
        let mut stored = self.lister(kind).list("");
        if stored.is_empty() {
            return Ok(vec![self.0.services.default_range.clone()]);
        }
        stored.sort_by_key(|entry| entry.name() != kinds::networking::DEFAULT_SERVICE_CIDR);
        let giving = stored.iter().map(|entry| entry.object()).filter(gives);
        let texts = giving.flat_map(|range| range.list(&["spec", "cidrs"]).to_vec());
        Ok(texts.filter_map(|text| AddressRange::parse(text.as_str()?)).collect())
    }

    fn ip_addresses(&self) -> &'static KindDef {
        self.kinds().find(GROUP, "v1", "ipaddresses").expect("IPAddress is served")
    }
}

fn invalid(service: &Object, error: Error) -> ApiError {
    ApiError::invalid(&service.gvk(), service.name(), &[error])
}
