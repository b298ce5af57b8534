//! The controller of EndpointSlices.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use control::{Change, Controller, Error, Expectations, Informer, ObjectKey, Requeue, Shell, Watches, meta};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::backends::{self, Backend, Port, families, is_headless, is_managed};
use super::decide::{Action, SliceView, decide};
use super::{HEADLESS_LABEL, services_of};

const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";

pub struct EndpointSliceController {
    client: Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
    expectations: Arc<Expectations>,
}

impl EndpointSliceController {
    pub fn new(shell: &Shell) -> Self {
        let slices = shell.informers.get::<EndpointSlice>();
        slices.add_index(SERVICE_LABEL, service_index);
        Self {
            client: shell.client(),
            services: shell.informers.get(),
            pods: shell.informers.get(),
            nodes: shell.informers.get(),
            slices,
            expectations: Arc::default(),
        }
    }

    fn slices_of(&self, key: &ObjectKey) -> Vec<Arc<EndpointSlice>> {
        self.slices.by_index(SERVICE_LABEL, &key.to_string())
    }

    async fn apply(&self, key: &ObjectKey, service: &Service, family: &str, action: Action) -> Result<(), Error> {
        let api = Api::<EndpointSlice>::namespaced(self.client.clone(), &key.namespace);
        match action {
            Action::Create { ports, backends } => {
                let mut slice = new_slice(service, family);
                fill(&mut slice, &ports, &backends);
                self.expectations.expect_creations(key, 1);
                let created = api.create(&PostParams::default(), &slice).await;
                if created.is_err() {
                    self.expectations.creation_observed(key);
                }
                created?;
            }
            Action::Update { slice, ports, backends } => {
                let Some(present) = self.slices.find(&key.namespace, &slice) else { return Ok(()) };
                let mut changed = (*present).clone();
                let wanted = new_slice(service, family).metadata;
                changed.metadata.labels = wanted.labels;
                changed.metadata.owner_references = wanted.owner_references;
                fill(&mut changed, &ports, &backends);
                api.replace(&slice, &PostParams::default(), &changed).await?;
            }
            Action::Delete { slice } => {
                let Some(present) = self.slices.find(&key.namespace, &slice) else { return Ok(()) };
                control::write::delete_uid(&api, &slice, meta::uid(&present.metadata), None).await?;
            }
        }
        Ok(())
    }

    async fn delete_all(&self, key: &ObjectKey) -> Result<(), Error> {
        let api = Api::<EndpointSlice>::namespaced(self.client.clone(), &key.namespace);
        for slice in self.slices_of(key) {
            control::write::delete_uid(&api, &slice.name_any(), meta::uid(&slice.metadata), None).await?;
        }
        Ok(())
    }
}

/// The key of the service whose slice this is, if the slice is ours.
fn service_key(meta: &ObjectMeta) -> Option<ObjectKey> {
    let ours = meta::label(meta, MANAGED_BY) == Some(MANAGER);
    let service = meta::label(meta, SERVICE_LABEL).filter(|_| ours)?;
    Some(ObjectKey::new(meta.namespace.as_deref().unwrap_or_default(), service))
}

fn service_index(slice: &EndpointSlice) -> Vec<String> {
    service_key(&slice.metadata).map(|key| key.to_string()).into_iter().collect()
}

/// A slice without content.
fn new_slice(service: &Service, family: &str) -> EndpointSlice {
    let name = service.name_any();
    let mut labels: BTreeMap<String, String> = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_LABEL.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.remove(HEADLESS_LABEL);
    if is_headless(service) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    EndpointSlice {
        address_type: family.to_owned(),
        endpoints: Vec::new(),
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            namespace: service.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![meta::controller_ref(service)]),
            ..ObjectMeta::default()
        },
        ports: None,
    }
}

fn fill(slice: &mut EndpointSlice, ports: &[Port], backends: &[Backend]) {
    let ports = ports.iter().map(|port| EndpointPort {
        name: Some(port.name.clone()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    });
    slice.ports = Some(ports.collect());
    slice.endpoints = backends.iter().map(endpoint).collect();
}

fn endpoint(backend: &Backend) -> Endpoint {
    Endpoint {
        addresses: vec![backend.address.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(backend.ready),
            serving: Some(backend.serving),
            terminating: Some(backend.terminating),
        }),
        node_name: backend.node.clone(),
        zone: backend.zone.clone(),
        hostname: backend.hostname.clone(),
        target_ref: backend.target.clone(),
        ..Endpoint::default()
    }
}

fn slice_view(service: &Service, family: &str, slice: &EndpointSlice) -> SliceView {
    let mut ports: Vec<Port> = slice.ports.iter().flatten().map(port_view).collect();
    ports.sort();
    let wanted = new_slice(service, family).metadata;
    SliceView {
        name: slice.name_any(),
        backends: slice.endpoints.iter().map(|endpoint| backend_view(endpoint, &ports)).collect(),
        stale: slice.metadata.labels != wanted.labels || slice.metadata.owner_references != wanted.owner_references,
        ports,
    }
}

fn port_view(port: &EndpointPort) -> Port {
    Port {
        name: port.name.clone().unwrap_or_default(),
        port: port.port.unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        app_protocol: port.app_protocol.clone(),
    }
}

fn backend_view(endpoint: &Endpoint, ports: &[Port]) -> Backend {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    Backend {
        address: endpoint.addresses.first().cloned().unwrap_or_default(),
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or_default(),
        node: endpoint.node_name.clone(),
        zone: endpoint.zone.clone(),
        hostname: endpoint.hostname.clone(),
        target: endpoint.target_ref.clone(),
        ports: ports.to_vec(),
    }
}

#[async_trait]
impl Controller for EndpointSliceController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "endpoint_slice"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<Service>| [ObjectKey::of(&change.object().metadata)]);
        watches.needs(&self.nodes);
        let services = self.services.clone();
        watches.on(move |change: &Change<Pod>| services_of(&services, change));
        let expectations = self.expectations.clone();
        watches.on(move |change: &Change<EndpointSlice>| {
            let key = service_key(&change.object().metadata);
            if let (Some(key), Change::Added(_)) = (&key, change) {
                expectations.creation_observed(key);
            }
            key
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(service) = self.services.get(key) else {
            self.expectations.forget(key);
            return self.delete_all(key).await.map(|()| Requeue::No);
        };
        if !is_managed(&service) || meta::is_terminating(&service.metadata) {
            return Ok(Requeue::No);
        }
        if let Some(left) = self.expectations.remaining(key) {
            return Ok(Requeue::After(left));
        }
        let families = families(&service);
        let (known, other): (Vec<_>, Vec<_>) =
            self.slices_of(key).into_iter().partition(|slice| families.contains(&slice.address_type));
        for slice in other {
            let delete = Action::Delete { slice: slice.name_any() };
            self.apply(key, &service, &slice.address_type, delete).await?;
        }
        for family in &families {
            let of_family = known.iter().filter(|slice| slice.address_type == *family);
            let views: Vec<SliceView> = of_family.map(|slice| slice_view(&service, family, slice)).collect();
            for action in decide(backends::backends(&service, &self.pods, &self.nodes, family), &views) {
                self.apply(key, &service, family, action).await?;
            }
        }
        Ok(Requeue::No)
    }
}
