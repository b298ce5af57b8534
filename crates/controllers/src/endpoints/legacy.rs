//! The controller of Endpoints: one object for each service, all addresses in it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use control::error::{ignore_already_exists, ignore_not_found};
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches, meta};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Node, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};

use super::backends::{Backend, Port, backends, families, is_headless, is_managed, publishes_unready};
use super::{HEADLESS_LABEL, services_of};

/// Addresses in one object; more are cut off and the object says so. (upstream: maxCapacity)
const ADDRESSES_MAX: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

pub struct EndpointsController {
    client: Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    endpoints: Informer<Endpoints>,
}

impl EndpointsController {
    pub fn new(shell: &Shell) -> Self {
        Self {
            client: shell.client(),
            services: shell.informers.get(),
            pods: shell.informers.get(),
            nodes: shell.informers.get(),
            endpoints: shell.informers.get(),
        }
    }

    async fn write(&self, key: &ObjectKey, wanted: Endpoints) -> Result<(), Error> {
        let api = Api::<Endpoints>::namespaced(self.client.clone(), &key.namespace);
        match self.endpoints.get(key) {
            None => ignore_already_exists(api.create(&PostParams::default(), &wanted).await).map(|_| ())?,
            Some(present) if same(&present, &wanted) => {}
            Some(present) => {
                let mut changed = (*present).clone();
                changed.metadata.labels = wanted.metadata.labels;
                changed.metadata.annotations = wanted.metadata.annotations;
                changed.subsets = wanted.subsets;
                api.replace(&key.name, &PostParams::default(), &changed).await?;
            }
        }
        Ok(())
    }
}

fn same(present: &Endpoints, wanted: &Endpoints) -> bool {
    let labels = |endpoints: &Endpoints| endpoints.metadata.labels.clone().unwrap_or_default();
    let over = |endpoints: &Endpoints| meta::annotation(&endpoints.metadata, OVER_CAPACITY).map(str::to_owned);
    present.subsets.clone().unwrap_or_default() == wanted.subsets.clone().unwrap_or_default()
        && labels(present) == labels(wanted)
        && over(present) == over(wanted)
}

/// The whole object for a service with these backends.
pub fn compile(service: &Service, mut backends: Vec<Backend>) -> Endpoints {
    backends.retain(|backend| publishes_unready(service) || !backend.terminating);
    let truncated = backends.len() > ADDRESSES_MAX;
    backends.sort_by_key(|backend| !backend.ready);
    backends.truncate(ADDRESSES_MAX);
    let mut annotations = BTreeMap::new();
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    }
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS_LABEL);
    if is_headless(service) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.namespace(),
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        },
        subsets: Some(subsets(backends)),
    }
}

/// Backends that serve the same ports share a subset.
fn subsets(backends: Vec<Backend>) -> Vec<EndpointSubset> {
    let mut groups: BTreeMap<Vec<Port>, Vec<Backend>> = BTreeMap::new();
    for mut backend in backends {
        backend.ports.sort();
        groups.entry(backend.ports.clone()).or_default().push(backend);
    }
    groups.into_iter().map(|(ports, backends)| subset(&ports, backends)).collect()
}

fn subset(ports: &[Port], mut backends: Vec<Backend>) -> EndpointSubset {
    backends.sort_by(|a, b| a.address.cmp(&b.address));
    let (ready, unready): (Vec<_>, Vec<_>) = backends.into_iter().partition(|backend| backend.ready);
    let addresses = |backends: Vec<Backend>| {
        let addresses: Vec<_> = backends.into_iter().map(address).collect();
        (!addresses.is_empty()).then_some(addresses)
    };
    let ports: Vec<_> = ports.iter().map(port).collect();
    EndpointSubset {
        addresses: addresses(ready),
        not_ready_addresses: addresses(unready),
        ports: (!ports.is_empty()).then_some(ports),
    }
}

fn address(backend: Backend) -> EndpointAddress {
    EndpointAddress {
        hostname: backend.hostname,
        ip: backend.address,
        node_name: backend.node,
        target_ref: backend.target,
    }
}

fn port(port: &Port) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone()).filter(|name| !name.is_empty()),
        port: port.port,
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    }
}

#[async_trait]
impl Controller for EndpointsController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "endpoint"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<Service>| [ObjectKey::of(&change.object().metadata)]);
        watches.needs(&self.nodes);
        let services = self.services.clone();
        watches.on(move |change: &Change<Pod>| services_of(&services, change));
        watches.on(|change: &Change<Endpoints>| {
            let meta = &change.object().metadata;
            (meta::label(meta, MANAGED_BY) == Some(MANAGER)).then(|| ObjectKey::of(meta))
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(service) = self.services.get(key) else {
            if self.endpoints.get(key).is_some_and(|e| meta::label(&e.metadata, MANAGED_BY) == Some(MANAGER)) {
                let api = Api::<Endpoints>::namespaced(self.client.clone(), &key.namespace);
                ignore_not_found(api.delete(&key.name, &DeleteParams::default()).await)?;
            }
            return Ok(Requeue::No);
        };
        if !is_managed(&service) || meta::is_terminating(&service.metadata) {
            return Ok(Requeue::No);
        }
        let family = families(&service).remove(0);
        let wanted = compile(&service, backends(&service, &self.pods, &self.nodes, &family));
        self.write(key, wanted).await?;
        Ok(Requeue::No)
    }
}
