//! Addresses and node ports of Services.
//!
//! What is taken is known from the Services themselves: from the cache at start, from each write after
//! that. There is no record of allocations that could disagree with them.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use kinds::KindDef;
use machinery::field::{Error, Path};
use machinery::{ApiError, Object};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::cache::Resource;
use crate::entry::Entry;
use crate::registry::Hooks;

/// Random tries before a range is searched from its start.
const RANDOM_TRIES: usize = 16;

pub(crate) struct Allocator {
    addresses: AddressRange,
    ports: RangeInclusive<u16>,
    taken: Mutex<Taken>,
}

/// What each Service holds, by its uid.
#[derive(Default)]
struct Taken {
    addresses: HashMap<Ipv4Addr, Box<str>>,
    ports: HashMap<u16, Box<str>>,
}

/// The usable addresses of a network: all but its own and the broadcast address.
struct AddressRange {
    text: String,
    first: u32,
    last: u32,
    /// Addresses below this are left to those who ask for one by name, as long as others are free.
    dynamic: u32,
}

/// What a Service asks for and holds: addresses and node ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    addresses: Vec<Ipv4Addr>,
    ports: Vec<u16>,
}

/// Gives back what a write took, unless the write succeeds.
pub(crate) struct Reservation<'a> {
    allocator: &'a Allocator,
    holder: Box<str>,
    /// Free again if the write fails.
    added: Claims,
    /// Free once the write has happened.
    dropped: Claims,
}

impl Reservation<'_> {
    /// The write has happened: what the Service no longer names is free.
    pub fn keep(mut self) {
        self.added = std::mem::take(&mut self.dropped);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.added != Claims::default() {
            self.allocator.taken.lock().free(&self.holder, &self.added);
        }
    }
}

impl Claims {
    /// What is here and not in `other`.
    fn without(&self, other: &Self) -> Self {
        Self {
            addresses: self.addresses.iter().filter(|address| !other.addresses.contains(address)).copied().collect(),
            ports: self.ports.iter().filter(|port| !other.ports.contains(port)).copied().collect(),
        }
    }
}

impl Taken {
    fn free(&mut self, holder: &str, claims: &Claims) {
        self.addresses.retain(|address, by| &**by != holder || !claims.addresses.contains(address));
        self.ports.retain(|port, by| &**by != holder || !claims.ports.contains(port));
    }

    fn insert(&mut self, holder: &str, claims: &Claims) {
        for address in &claims.addresses {
            self.addresses.entry(*address).or_insert_with(|| holder.into());
        }
        for port in &claims.ports {
            self.ports.entry(*port).or_insert_with(|| holder.into());
        }
    }

    /// What of `claims` the holder holds.
    fn held(&self, holder: &str, claims: &Claims) -> Claims {
        let by = |found: Option<&Box<str>>| found.is_some_and(|by| &**by == holder);
        Claims {
            addresses: claims.addresses.iter().filter(|address| by(self.addresses.get(address))).copied().collect(),
            ports: claims.ports.iter().filter(|port| by(self.ports.get(port))).copied().collect(),
        }
    }
}

/// One write's view of what is taken: it remembers what it took itself.
struct Taking<'a> {
    taken: MutexGuard<'a, Taken>,
    holder: &'a str,
    added: Claims,
}

impl Taking<'_> {
    fn take_address(&mut self, address: Ipv4Addr) {
        self.taken.addresses.insert(address, self.holder.into());
        self.added.addresses.push(address);
    }

    fn take_port(&mut self, port: u16) {
        self.taken.ports.insert(port, self.holder.into());
        self.added.ports.push(port);
    }
}

impl Allocator {
    pub fn new(hooks: &Hooks) -> Result<Self, String> {
        let (first, last) = hooks.node_ports;
        let addresses = AddressRange::parse(&hooks.service_cidr)?;
        Ok(Self { addresses, ports: first..=last, taken: Mutex::default() })
    }

    /// Takes over what stored Services hold.
    pub fn adopt(&self, services: &Resource) {
        let prefix = crate::keys::resource_prefix(services.kind());
        services.scan(&prefix, "", 0, |entry| {
            let service = entry.object();
            self.taken.lock().insert(service.uid(), &claims(&service));
            true
        });
    }

    /// A Service is gone; other objects pass through.
    pub fn release(&self, gone: &Entry) {
        if is_service(gone.kind()) {
            let service = gone.object();
            self.taken.lock().free(service.uid(), &claims(&service));
        }
    }

    /// Gives a Service what it needs; `old` is what it was before. Other kinds pass through.
    /// upstream: pkg/registry/core/service/storage/alloc.go
    pub fn reserve(
        &self,
        kind: &KindDef,
        service: &mut Object,
        old: Option<&Object>,
    ) -> Result<Reservation<'_>, ApiError> {
        let holder: Box<str> = service.uid().into();
        let mut reservation =
            Reservation { allocator: self, holder, added: Claims::default(), dropped: Claims::default() };
        if !is_service(kind) {
            return Ok(reservation);
        }
        let name = service.name().to_owned();
        let refused = |error: Error| ApiError::invalid(&kind.gvk(), &name, &[error]);
        let holder = reservation.holder.clone();
        let mut taking = Taking { taken: self.taken.lock(), holder: &holder, added: Claims::default() };
        let done = self.take(&mut taking, service);
        let Taking { taken, added, .. } = taking;
        reservation.added = added;
        let before = old.map(claims).unwrap_or_default();
        reservation.dropped = taken.held(&holder, &before.without(&claims(service)));
        drop(taken);
        done?.map_err(refused)?;
        Ok(reservation)
    }

    /// The outer error is the server's: there is no port left.
    fn take(&self, taking: &mut Taking<'_>, service: &mut Object) -> Result<Result<(), Error>, ApiError> {
        if let Err(error) = self.take_address(taking, service) {
            return Ok(Err(error));
        }
        self.take_ports(taking, service)
    }

    fn take_address(&self, taking: &mut Taking<'_>, service: &mut Object) -> Result<(), Error> {
        if !needs_address(service) {
            return Ok(());
        }
        if let [asked] = claims(service).addresses[..] {
            self.take_asked(taking, asked, service)?;
        } else {
            let path = Path::new("spec").child("clusterIPs");
            let is_api = (service.namespace(), service.name()) == API_SERVICE;
            let free = self
                .free_address(&taking.taken, is_api)
                .ok_or_else(|| Error::invalid(&path, Value::Null, "failed to allocate a serviceIP: range is full"))?;
            taking.take_address(free);
            service.set(&["spec", "clusterIP"], free.to_string());
        }
        let address = service.str(&["spec", "clusterIP"]).to_owned();
        service.set_default(&["spec", "clusterIPs"], json!([address]));
        Ok(())
    }

    fn take_asked(&self, taking: &mut Taking<'_>, asked: Ipv4Addr, service: &Object) -> Result<(), Error> {
        let why = match taking.taken.addresses.get(&asked) {
            Some(holder) if **holder == *taking.holder => return Ok(()),
            _ if !self.addresses.contains(asked) => {
                let range = &self.addresses.text;
                format!("the provided IP ({asked}) is not in the valid range. The range of valid IPs is {range}")
            }
            Some(_) => "provided IP is already allocated".to_owned(),
            None => {
                taking.take_address(asked);
                return Ok(());
            }
        };
        let value = service.get(&["spec", "clusterIPs"]).cloned().unwrap_or_else(|| json!([asked.to_string()]));
        let message = format!("failed to allocate IP {asked}: {why}");
        Err(Error::invalid(&Path::new("spec").child("clusterIPs"), value, message))
    }

    /// The Service of the API itself gets the first address; others get any but that.
    fn free_address(&self, taken: &Taken, is_api: bool) -> Option<Ipv4Addr> {
        let free = |address: &u32| !taken.addresses.contains_key(&Ipv4Addr::from(*address));
        let AddressRange { first, last, dynamic, .. } = self.addresses;
        if is_api && free(&first) {
            return Some(first.into());
        }
        let random = (0..RANDOM_TRIES).map(|_| dynamic + clock::random_below((last - dynamic + 1) as usize) as u32);
        let mut candidates = random.chain(dynamic..=last).chain(first + 1..dynamic);
        candidates.find(free).map(Ipv4Addr::from)
    }

    fn take_ports(&self, taking: &mut Taking<'_>, service: &mut Object) -> Result<Result<(), Error>, ApiError> {
        if may_have_node_ports(service) {
            let all = needs_node_ports(service);
            let mut chosen: Vec<(i64, u16)> = Vec::new();
            let count = service.list(&["spec", "ports"]).len();
            for index in 0..count {
                let asked = service.list(&["spec", "ports"])[index]["nodePort"].as_i64().unwrap_or(0);
                if !all && asked == 0 {
                    continue;
                }
                if let Err(error) = self.take_port(taking, service, index, &mut chosen)? {
                    return Ok(Err(error));
                }
            }
        }
        if needs_health_check_port(service) {
            let asked = service.int(&["spec", "healthCheckNodePort"]).unwrap_or(0);
            let path = Path::new("spec").child("healthCheckNodePort");
            match self.port(taking, asked, &path)? {
                Ok(port) => service.set(&["spec", "healthCheckNodePort"], port),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(()))
    }

    /// Fills in the node port of one port; two protocols on the same port share it.
    fn take_port(
        &self,
        taking: &mut Taking<'_>,
        service: &mut Object,
        index: usize,
        chosen: &mut Vec<(i64, u16)>,
    ) -> Result<Result<(), Error>, ApiError> {
        let port = &service.list(&["spec", "ports"])[index];
        let (number, asked) = (port["port"].as_i64().unwrap_or(0), port["nodePort"].as_i64().unwrap_or(0));
        let shared = chosen.iter().find(|(of, _)| *of == number).map(|(_, port)| i64::from(*port));
        let asked = if asked == 0 { shared.unwrap_or(0) } else { asked };
        let path = Path::new("spec").child("ports").index(index).child("nodePort");
        let given = match self.port(taking, asked, &path)? {
            Ok(given) => given,
            Err(error) => return Ok(Err(error)),
        };
        chosen.push((number, given));
        service.map_mut(&["spec"])["ports"][index]["nodePort"] = json!(given);
        Ok(Ok(()))
    }

    /// The port asked for, or any when that is zero.
    fn port(&self, taking: &mut Taking<'_>, asked: i64, path: &Path) -> Result<Result<u16, Error>, ApiError> {
        if asked == 0 {
            let full = || ApiError::internal("failed to allocate a nodePort: range is full");
            let free = self.free_port(&taking.taken).ok_or_else(full)?;
            taking.take_port(free);
            return Ok(Ok(free));
        }
        let Some(port) = u16::try_from(asked).ok().filter(|port| self.ports.contains(port)) else {
            let (first, last) = (self.ports.start(), self.ports.end());
            let message =
                format!("provided port is not in the valid range. The range of valid ports is {first}-{last}");
            return Ok(Err(Error::invalid(path, asked, message)));
        };
        match taking.taken.ports.get(&port) {
            None => taking.take_port(port),
            Some(holder) if **holder == *taking.holder => {}
            Some(_) => return Ok(Err(Error::invalid(path, asked, "provided port is already allocated"))),
        }
        Ok(Ok(port))
    }

    fn free_port(&self, taken: &Taken) -> Option<u16> {
        let first = *self.ports.start();
        let random = (0..RANDOM_TRIES).map(|_| first + clock::random_below(self.ports.len()) as u16);
        random.chain(self.ports.clone()).find(|port| !taken.ports.contains_key(port))
    }
}

/// Namespace and name of the Service through which pods reach the API.
const API_SERVICE: (&str, &str) = ("default", "kubernetes");

impl AddressRange {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("{text} is no IPv4 network with room for services, such as 10.43.0.0/16");
        let (address, bits) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        let bits: u32 = bits.parse().ok().filter(|bits| (8..=28).contains(bits)).ok_or_else(invalid)?;
        let size = 1_u32 << (32 - bits);
        let network = u32::from(address) & !(size - 1);
        let reserved = (size / 16).clamp(16, 256).min(size - 3);
        Ok(Self { text: text.to_owned(), first: network + 1, last: network + size - 2, dynamic: network + reserved })
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&u32::from(address))
    }
}

fn is_service(kind: &KindDef) -> bool {
    (kind.group, kind.kind) == ("", "Service")
}

fn of_type(service: &Object) -> &str {
    service.str(&["spec", "type"])
}

fn needs_address(service: &Object) -> bool {
    of_type(service) != "ExternalName" && service.str(&["spec", "clusterIP"]) != "None"
}

fn may_have_node_ports(service: &Object) -> bool {
    matches!(of_type(service), "NodePort" | "LoadBalancer")
}

/// Whether each port needs one; otherwise only those that ask for one get it.
fn needs_node_ports(service: &Object) -> bool {
    let waived = service.get(&["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
    may_have_node_ports(service) && !(of_type(service) == "LoadBalancer" && waived)
}

fn needs_health_check_port(service: &Object) -> bool {
    of_type(service) == "LoadBalancer" && service.str(&["spec", "externalTrafficPolicy"]) == "Local"
}

/// What a Service names.
fn claims(service: &Object) -> Claims {
    let first = service.list(&["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or_default();
    let address = match service.str(&["spec", "clusterIP"]) {
        "" => first,
        address => address,
    };
    let ports = service.list(&["spec", "ports"]).iter().filter_map(|port| port["nodePort"].as_u64());
    let health = service.int(&["spec", "healthCheckNodePort"]).map(|port| port as u64);
    Claims {
        addresses: address.parse().into_iter().collect(),
        ports: ports.chain(health).filter_map(|port| u16::try_from(port).ok()).filter(|port| *port != 0).collect(),
    }
}
