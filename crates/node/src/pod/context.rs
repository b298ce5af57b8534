//! What the tasks of one pod share.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::spec;
use super::step::Event;
use crate::context::Node;
use crate::handlers::Target;
use crate::references::PodReferences;
use crate::volumes::token::TokenStore;
use crate::volumes::{Faults, Mounted, SetUp, set_up};

/// The pod as its tasks see it.
pub struct PodContext {
    pub node: Arc<Node>,
    pod: Mutex<Arc<Pod>>,
    references: Mutex<Arc<PodReferences>>,
    sandbox: Mutex<Option<(String, Vec<IpAddr>)>>,
    mounted: Mutex<Mounted>,
    pub tokens: TokenStore,
    /// Held while volumes are written, so that two set-ups do not mix.
    writing: tokio::sync::Mutex<()>,
    /// Back to the state machine.
    pub events: mpsc::UnboundedSender<Event>,
}

impl PodContext {
    pub fn new(node: Arc<Node>, pod: Arc<Pod>, events: mpsc::UnboundedSender<Event>) -> PodContext {
        let references = Arc::new(node.references.of_pod(&pod));
        PodContext {
            references: Mutex::new(references),
            pod: Mutex::new(pod),
            sandbox: Mutex::default(),
            mounted: Mutex::default(),
            tokens: TokenStore::default(),
            writing: tokio::sync::Mutex::default(),
            node,
            events,
        }
    }

    pub fn pod(&self) -> Arc<Pod> {
        self.pod.lock().clone()
    }

    pub fn set_pod(&self, pod: Arc<Pod>) {
        let added = spec::containers(&pod).len() != spec::containers(&self.pod()).len();
        if added {
            *self.references.lock() = Arc::new(self.node.references.of_pod(&pod));
        }
        *self.pod.lock() = pod;
    }

    pub fn references(&self) -> Arc<PodReferences> {
        self.references.lock().clone()
    }

    pub fn set_sandbox(&self, sandbox: Option<(String, Vec<IpAddr>)>) {
        *self.sandbox.lock() = sandbox;
    }

    pub fn sandbox(&self) -> Option<(String, Vec<IpAddr>)> {
        self.sandbox.lock().clone()
    }

    /// The pod's addresses: the node's own in the host's network.
    pub fn ips(&self) -> Vec<IpAddr> {
        if spec::host_network(&self.pod()) {
            return vec![self.node.config.node_ip];
        }
        self.sandbox.lock().as_ref().map(|(_, ips)| ips.clone()).unwrap_or_default()
    }

    pub fn mounted(&self) -> Mounted {
        self.mounted.lock().clone()
    }

    /// Tells the state machine; a worker that has ended needs no news.
    pub fn tell(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::debug!(pod = spec::full_name(&self.pod()), "news for a worker that has ended");
        }
    }

    pub fn record(&self, container: Option<&str>, warning: bool, reason: &str, message: String) {
        self.node.record(&self.pod(), container, warning, reason, message);
    }

    /// Brings the pod's volumes up, or up to date.
    pub async fn set_up_volumes(&self) -> Result<(), Faults> {
        let _writing = self.writing.lock().await;
        let pod = self.pod();
        let objects = self.references().objects().await;
        let around = self.node.surroundings(self.ips());
        let cx = SetUp {
            paths: &self.node.paths,
            client: &self.node.client,
            objects: &objects,
            around: &around,
            tokens: &self.tokens,
        };
        *self.mounted.lock() = set_up(&cx, &pod).await?;
        Ok(())
    }

    /// Whom hooks and probes of a container ask.
    pub fn target(&self, name: &str, id: &str) -> Option<Target> {
        let (_, container) = spec::container(&self.pod(), name)?;
        let ip = self.ips().first().copied().unwrap_or(self.node.config.node_ip);
        Some(Target { runtime: self.node.runtime.clone(), container_id: id.to_string(), ip, container })
    }
}
