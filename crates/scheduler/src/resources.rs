//! What pods ask for and nodes have.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use machinery::quantity::Quantity;

/// An amount of each resource: CPU in thousandths of a core, memory and storage in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// How many pods; a pod asks for one.
    pub pods: i64,
    /// Extended resources and huge pages, in their own units.
    pub others: BTreeMap<String, i64>,
}

type Quantities = BTreeMap<String, ApiQuantity>;

impl Resources {
    pub fn of(quantities: &Quantities) -> Self {
        let mut resources = Self::default();
        for (name, quantity) in quantities {
            let Ok(quantity) = Quantity::parse(&quantity.0) else { continue };
            let value = saturate(quantity.value());
            match name.as_str() {
                "cpu" => resources.milli_cpu = saturate(quantity.milli_value()),
                "memory" => resources.memory = value,
                "ephemeral-storage" => resources.ephemeral_storage = value,
                "pods" => resources.pods = value,
                _ => drop(resources.others.insert(name.clone(), value)),
            }
        }
        resources
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    fn raise_to(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        self.pods = with(self.pods, other.pods);
        for (name, value) in &other.others {
            let entry = self.others.entry(name.clone()).or_default();
            *entry = with(*entry, *value);
        }
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What a pod asks for: its containers together, or its greediest moment of initialization, with the
/// overhead of its runtime class.
///
/// Init containers that restart always stay, and so add to all that start after them.
pub fn pod_requests(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&container_requests(container));
    }
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut moment = container_requests(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&moment);
            moment = sidecars.clone();
        } else {
            moment.add(&sidecars);
        }
        starting.raise_to(&moment);
    }
    running.add(&sidecars);
    running.raise_to(&starting);
    if let Some(requests) = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()) {
        override_with(&mut running, requests);
    }
    if let Some(overhead) = &spec.overhead {
        running.add(&Resources::of(overhead));
    }
    running.pods = 1;
    running
}

/// Requests of the pod as a whole stand for those of its containers.
fn override_with(resources: &mut Resources, requests: &Quantities) {
    let whole = Resources::of(requests);
    if requests.contains_key("cpu") {
        resources.milli_cpu = whole.milli_cpu;
    }
    if requests.contains_key("memory") {
        resources.memory = whole.memory;
    }
    resources.others.extend(whole.others);
}

fn container_requests(container: &Container) -> Resources {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.map(Resources::of).unwrap_or_default()
}

/// What scores count for a pod that asks for nothing, as upstream does: 100m and 200Mi a container.
pub fn scored_requests(pod: &Pod, requests: &Resources) -> (i64, i64) {
    const MILLI_CPU: i64 = 100;
    const MEMORY: i64 = 200 * 1024 * 1024;
    let containers = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let containers = i64::try_from(containers).unwrap_or(i64::MAX);
    let or_default = |asked: i64, default: i64| if asked == 0 { default.saturating_mul(containers) } else { asked };
    (or_default(requests.milli_cpu, MILLI_CPU), or_default(requests.memory, MEMORY))
}
