//! Removes pods that nobody else will. (upstream: pkg/controller/podgc)

mod decide;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use control::error::ignore_not_found;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches, meta, pods};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use tracing::info;

use decide::{Cause, NodeState, PodFacts, decide};

/// Finished pods that are kept in the cluster. (upstream: --terminated-pod-gc-threshold)
const FINISHED_MAX: usize = 12_500;
/// The time between two looks at the number of finished pods, while pods finish.
const COUNT_PERIOD: Duration = Duration::from_secs(20);
/// How long a pod may be ahead of the node it runs on. (upstream: quarantineTime)
const QUARANTINE: Duration = Duration::from_secs(40);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Finished,
    Pod(ObjectKey),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished pods"),
            Self::Pod(key) => key.fmt(f),
        }
    }
}

pub struct PodGc {
    client: Client,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
}

impl PodGc {
    pub fn new(shell: &Shell) -> Self {
        let pods = shell.informers.get::<Pod>();
        pods.add_index(pods::BY_NODE, pods::node_index);
        Self { client: shell.client(), pods, nodes: shell.informers.get() }
    }

    async fn remove_finished(&self) -> Result<(), Error> {
        let mut finished = self.pods.list();
        finished.retain(|pod| pods::is_finished(pod));
        let surplus = finished.len().saturating_sub(FINISHED_MAX);
        finished.sort_by_key(|pod| meta::created_at(&pod.metadata));
        for pod in &finished[..surplus] {
            self.delete(pod).await?;
        }
        Ok(())
    }

    /// Asks the server, since a node may be newer than the cache.
    async fn node_state(&self, name: &str) -> Result<NodeState, Error> {
        let cached = self.nodes.find("", name).map(|node| (*node).clone());
        let node = match cached {
            Some(node) => Some(node),
            None => Api::<Node>::all(self.client.clone()).get_opt(name).await?,
        };
        Ok(node.map_or(NodeState::Gone, |node| node_state(&node)))
    }

    async fn look_at(&self, pod: &Pod) -> Result<(), Error> {
        let node = match pods::node_name(pod) {
            Some(name) => self.node_state(name).await?,
            None => NodeState::None,
        };
        let facts = PodFacts { terminating: pods::is_terminating(pod), finished: pods::is_finished(pod), node };
        let Some(cause) = decide(&facts) else { return Ok(()) };
        info!(pod = %ObjectKey::of(&pod.metadata), ?cause, "removing a stranded pod");
        if !facts.finished {
            self.mark_failed(pod, cause).await?;
        }
        self.delete(pod).await
    }

    async fn mark_failed(&self, pod: &Pod, cause: Cause) -> Result<(), Error> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let mut status = serde_json::json!({ "phase": "Failed" });
        if cause == Cause::NodeGone {
            let target = crate::disruption_target(pod, "DeletionByPodGC", "PodGC: node no longer exists");
            status["conditions"] = serde_json::to_value(target)?;
        }
        let version = pod.metadata.resource_version.as_deref();
        ignore_not_found(control::write::merge_status(&api, &pod.name_any(), version, &status).await)?;
        Ok(())
    }

    async fn delete(&self, pod: &Pod) -> Result<(), Error> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let preconditions = Some(Preconditions { uid: pod.uid(), resource_version: None });
        let params = DeleteParams { preconditions, grace_period_seconds: Some(0), ..DeleteParams::default() };
        ignore_not_found(api.delete(&pod.name_any(), &params).await)?;
        Ok(())
    }
}

fn node_state(node: &Node) -> NodeState {
    let out_of_service = crate::nodes::has_taint(node, "node.kubernetes.io/out-of-service");
    let ready = crate::nodes::condition(node, "Ready").is_some_and(|ready| ready.status == "True");
    if out_of_service && !ready { NodeState::OutOfService } else { NodeState::Present }
}

#[async_trait]
impl Controller for PodGc {
    type Key = Key;

    fn name(&self) -> &'static str {
        "podgc"
    }

    fn watches(&self, watches: &mut Watches<Key>) {
        let (queue, nodes) = (watches.queue(), self.nodes.clone());
        watches.on(move |change: &Change<Pod>| {
            let pod = change.object();
            let newly_finished = pods::is_finished(pod) && change.old().is_none_or(|old| !pods::is_finished(old));
            if newly_finished {
                queue.add_after(Key::Finished, COUNT_PERIOD);
            }
            let key = Key::Pod(ObjectKey::of(&pod.metadata));
            match pods::node_name(pod) {
                Some(node) if nodes.find("", node).is_none() => queue.add_after(key, QUARANTINE),
                None if pods::is_terminating(pod) => return Some(key),
                _ => {}
            }
            None
        });
        let (queue, pods) = (watches.queue(), self.pods.clone());
        watches.on(move |change: &Change<Node>| {
            let node = change.object();
            let stranded = pods.by_index(pods::BY_NODE, &node.name_any());
            let keys = stranded.iter().map(|pod| Key::Pod(ObjectKey::of(&pod.metadata)));
            if change.is_deletion() {
                keys.for_each(|key| queue.add_after(key, QUARANTINE));
            } else if node_state(node) == NodeState::OutOfService {
                keys.for_each(|key| queue.add(key));
            }
            None
        });
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue, Error> {
        match key {
            Key::Finished => self.remove_finished().await?,
            Key::Pod(key) => {
                if let Some(pod) = self.pods.get(key) {
                    self.look_at(&pod).await?;
                }
            }
        }
        Ok(Requeue::No)
    }
}
