//! What pods are said to use, in place of nodes' summaries.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autoscale::{ContainerReading, PodReading, Readings, ResourceMetrics, Usage};
use control::{Informer, Informers, ObjectKey, meta, pods};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

/// The window that readings claim to cover.
const WINDOW: Duration = Duration::from_secs(15);

/// Thousandths of a CPU that each pod uses, by its label `app`. Clones share it.
#[derive(Clone, Default)]
pub struct Reported(Arc<Mutex<BTreeMap<String, u64>>>);

impl Reported {
    pub fn set(&self, app: &str, millis: u64) {
        self.0.lock().insert(app.to_owned(), millis);
    }

    /// The readings of the pods that `informers` show.
    pub fn of(&self, informers: &Informers) -> Readout {
        Readout { usage: self.clone(), pods: informers.get() }
    }
}

pub struct Readout {
    usage: Reported,
    pods: Informer<Pod>,
}

impl Readout {
    fn reading(&self, pod: &Pod) -> Option<(ObjectKey, PodReading)> {
        let millis = *self.usage.0.lock().get(meta::label(&pod.metadata, "app")?)?;
        let usage = Usage { cpu_nano: millis * 1_000_000, memory: 64 << 20 };
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let containers = containers.map(|c| ContainerReading { name: c.name.clone(), usage }).collect();
        let uid = meta::uid(&pod.metadata).to_owned();
        let reading = PodReading { uid, at: clock::now(), window: WINDOW, containers };
        Some((ObjectKey::of(&pod.metadata), reading))
    }
}

#[async_trait]
impl ResourceMetrics for Readout {
    async fn readings(&self) -> Arc<Readings> {
        let running = self.pods.list().into_iter().filter(|pod| pods::phase(pod) == "Running");
        let pods = running.filter_map(|pod| self.reading(&pod)).collect();
        Arc::new(Readings { nodes: HashMap::new(), pods })
    }
}
