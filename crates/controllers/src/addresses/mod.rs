//! Repairs what is recorded of the addresses of Services, and tells of node ports that two of them have.
//! (upstream: pkg/registry/core/service/ipallocator/controller, portallocator/controller)

mod decide;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::error::ignore_already_exists;
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, meta};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{IPAddress, IPAddressSpec, ParentReference, ServiceCIDR};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kinds::networking::{ALLOCATOR, MANAGED_BY_LABEL, allocated_labels, family};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use crate::servicecidr::prefixes;
use decide::{CREATION_GRACE, NodePort, Parent, Record, Repair, check_address, check_ports, check_service};

/// Services by the addresses they name.
const BY_ADDRESS: &str = "address";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Service(ObjectKey),
    Address(String),
    /// The node ports of all Services.
    Ports,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => write!(f, "service {key}"),
            Self::Address(address) => f.write_str(address),
            Self::Ports => f.write_str("node ports"),
        }
    }
}

pub struct AddressRepair {
    client: Client,
    services: Informer<Service>,
    addresses: Informer<IPAddress>,
    ranges: Informer<ServiceCIDR>,
    node_ports: RangeInclusive<u16>,
    of_addresses: Recorder,
    of_ports: Recorder,
}

/// Whether the allocator of Service addresses made it.
pub fn is_managed(address: &IPAddress) -> bool {
    meta::label(&address.metadata, MANAGED_BY_LABEL) == Some(ALLOCATOR)
}

fn cluster_ips(service: &Service) -> Vec<String> {
    let listed = service.spec.as_ref().and_then(|spec| spec.cluster_ips.clone()).unwrap_or_default();
    listed.into_iter().filter(|address| address != "None" && !address.is_empty()).collect()
}

fn node_ports(service: &Service) -> Vec<NodePort> {
    let Some(spec) = service.spec.as_ref() else { return Vec::new() };
    let listed = spec.ports.iter().flatten().filter_map(|port| {
        let number = u16::try_from(port.node_port?).ok()?;
        Some((number, port.protocol.clone().unwrap_or_default()))
    });
    let health = spec.health_check_node_port.and_then(|port| Some((u16::try_from(port).ok()?, "TCP".to_owned())));
    listed.chain(health).filter(|(number, _)| *number != 0).collect()
}

impl AddressRepair {
    pub fn new(shell: &Shell, node_ports: RangeInclusive<u16>) -> Self {
        let services = shell.informers.get::<Service>();
        services.add_index(BY_ADDRESS, cluster_ips);
        Self {
            client: shell.client(),
            services,
            addresses: shell.informers.get(),
            ranges: shell.informers.get(),
            node_ports,
            of_addresses: Recorder::new(shell.client(), "ipallocator-repair-controller", ""),
            of_ports: Recorder::new(shell.client(), "portallocator-repair-controller", ""),
        }
    }

    fn api(&self) -> Api<IPAddress> {
        Api::all(self.client.clone())
    }

    fn in_range(&self, address: IpAddr) -> bool {
        self.ranges.list().iter().any(|range| prefixes(range).iter().any(|prefix| prefix.contains(address)))
    }

    /// The caches of Services and of addresses may be at different times: what looks wrong is asked for again.
    async fn service(&self, key: &ObjectKey) -> Result<(), Error> {
        let Some(cached) = self.services.get(key).filter(|service| self.looks_wrong(service)) else { return Ok(()) };
        let api = Api::<Service>::namespaced(self.client.clone(), &key.namespace);
        match api.get_opt(&key.name).await? {
            Some(service) if meta::uid(&service.metadata) == meta::uid(&cached.metadata) => self.repair(&service).await,
            _ => Ok(()),
        }
    }

    fn looks_wrong(&self, service: &Service) -> bool {
        cluster_ips(service).iter().any(|text| match (text.parse(), self.addresses.find("", text)) {
            (Ok(address), Some(found)) => {
                !self.in_range(address) || self.record(service, &found, address) != Record::Own { labelled: true }
            }
            _ => true,
        })
    }

    async fn repair(&self, service: &Service) -> Result<(), Error> {
        let name = format!("{}/{}", service.namespace().unwrap_or_default(), service.name_any());
        for text in cluster_ips(service) {
            let Ok(address) = text.parse::<IpAddr>() else {
                let message = format!("Cluster IP {text} is not a valid IP; please recreate Service");
                self.of_addresses.warning(service, "ClusterIPNotValid", message);
                continue;
            };
            let found = self.api().get_opt(&text).await?;
            let record = found.as_ref().map_or(Record::Missing, |found| self.record(service, found, address));
            let (repair, warning) = check_service(&name, &text, family(address), self.in_range(address), record);
            if let Some(warning) = warning {
                self.of_addresses.warning(service, warning.reason, warning.message);
            }
            if let (Repair::Recreate, Some(found)) = (repair, &found) {
                self.delete(found).await?;
            }
            if matches!(repair, Repair::Create | Repair::Recreate) {
                let object = ip_address(&text, address, service);
                ignore_already_exists(self.api().create(&PostParams::default(), &object).await)?;
            }
        }
        Ok(())
    }

    fn record(&self, service: &Service, found: &IPAddress, address: IpAddr) -> Record {
        let Some((namespace, name)) = parent_service(found) else { return Record::Foreign };
        if (Some(namespace), name) == (service.namespace().as_deref(), service.name_any().as_str()) {
            let labels = allocated_labels(address);
            let labelled = labels.iter().all(|(label, value)| meta::label(&found.metadata, label) == Some(*value));
            return Record::Own { labelled };
        }
        match self.services.find(namespace, name) {
            None => Record::Gone,
            Some(other) => Record::Another { has_it: cluster_ips(&other).contains(&found.name_any()) },
        }
    }

    async fn address(&self, found: &IPAddress) -> Result<Requeue, Error> {
        let name = found.name_any();
        let (parent, refers_to) = match parent_service(found) {
            None => (format!("{:?}", found.spec.as_ref().map(|spec| &spec.parent_ref)), Parent::Foreign),
            Some((namespace, of)) => {
                let has_it = self.services.find(namespace, of).map(|service| cluster_ips(&service).contains(&name));
                let refers_to = has_it.map_or(Parent::Missing, |has_it| Parent::Service { has_it });
                (format!("{namespace}/{of}"), refers_to)
            }
        };
        let age = meta::created_at(&found.metadata).map_or(Duration::MAX, clock::since);
        let (repair, warning) = check_address(&name, &parent, refers_to, age);
        if let Some(warning) = warning {
            self.of_addresses.warning(found, warning.reason, warning.message);
        }
        match repair {
            Repair::Wait(left) => return Ok(Requeue::After(left)),
            Repair::Delete => self.delete(found).await?,
            _ => {}
        }
        Ok(Requeue::No)
    }

    async fn delete(&self, found: &IPAddress) -> Result<(), Error> {
        let uid = meta::uid(&found.metadata);
        Ok(control::write::delete_uid(&self.api(), &found.name_any(), uid, None).await?)
    }

    fn ports(&self) {
        let mut services: Vec<Arc<Service>> = self.services.list();
        services.retain(|service| !node_ports(service).is_empty());
        services.sort_by_key(|service| (meta::created_at(&service.metadata), service.namespace(), service.name_any()));
        let services: Vec<_> = services.into_iter().map(|service| (service.clone(), node_ports(&service))).collect();
        for (service, warning) in check_ports(&services, &self.node_ports) {
            self.of_ports.warning(&**service, warning.reason, warning.message);
        }
    }
}

/// Namespace and name of the Service that an address belongs to, if it belongs to one.
fn parent_service(address: &IPAddress) -> Option<(&str, &str)> {
    let parent = &address.spec.as_ref()?.parent_ref;
    let is_service = parent.group.as_deref().unwrap_or_default().is_empty() && parent.resource == "services";
    is_service.then(|| (parent.namespace.as_deref().unwrap_or_default(), parent.name.as_str()))
}

fn ip_address(name: &str, address: IpAddr, service: &Service) -> IPAddress {
    let labels = allocated_labels(address).map(|(label, value)| (label.to_owned(), value.to_owned()));
    IPAddress {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.into()), ..ObjectMeta::default() },
        spec: Some(IPAddressSpec {
            parent_ref: ParentReference {
                group: Some(String::new()),
                resource: "services".to_owned(),
                namespace: service.namespace(),
                name: service.name_any(),
            },
        }),
    }
}

#[async_trait]
impl Controller for AddressRepair {
    type Key = Key;

    fn name(&self) -> &'static str {
        "service_addresses"
    }

    fn watches(&self, watches: &mut Watches<Key>) {
        watches.needs(&self.ranges);
        let queue = watches.queue();
        watches.on(move |change: &Change<Service>| {
            let service = change.object();
            let before = change.old().map(|old| node_ports(old)).unwrap_or_default();
            let moved = !change.is_deletion() && node_ports(service) != before;
            // The address of a Service that lets go of it, or goes itself, should follow soon.
            let left = change.old().into_iter().chain([service]).flat_map(|service| cluster_ips(service));
            left.for_each(|address| queue.add_after(Key::Address(address), CREATION_GRACE));
            let own = Key::Service(ObjectKey::of(&service.metadata));
            [Some(own), moved.then_some(Key::Ports)].into_iter().flatten()
        });
        let services = self.services.clone();
        watches.on(move |change: &Change<IPAddress>| {
            let name = change.object().name_any();
            let holders = services.by_index(BY_ADDRESS, &name);
            let mut keys: Vec<Key> =
                holders.iter().map(|service| Key::Service(ObjectKey::of(&service.metadata))).collect();
            keys.push(Key::Address(name));
            keys
        });
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue, Error> {
        match key {
            Key::Ports => self.ports(),
            Key::Service(key) => self.service(key).await?,
            Key::Address(name) => {
                if let Some(address) = self.addresses.find("", name).filter(|address| is_managed(address)) {
                    return self.address(&address).await;
                }
            }
        }
        Ok(Requeue::No)
    }
}
