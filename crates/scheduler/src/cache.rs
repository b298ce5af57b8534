//! Nodes and their pods as far as the scheduler knows them: what informers saw, and what it has itself
//! decided but not yet seen.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::nodes::{NodeInfo, Snapshot};
use crate::pods::PodInfo;

#[derive(Default)]
pub struct Cache {
    snapshot: Snapshot,
    /// Where each pod that counts is, by uid.
    placed: HashMap<String, String>,
    /// Pods of nodes that are not known yet, by node.
    homeless: HashMap<String, Vec<Arc<PodInfo>>>,
}

impl Cache {
    pub fn set_node(&mut self, node: Arc<Node>) {
        let name = node.metadata.name.clone().unwrap_or_default();
        match self.snapshot.position(&name) {
            Ok(at) => self.snapshot.nodes[at].set_node(node),
            Err(at) => {
                let mut info = NodeInfo::new(node);
                for pod in self.homeless.remove(&name).into_iter().flatten() {
                    info.add_pod(pod);
                }
                self.snapshot.nodes.insert(at, info);
            }
        }
    }

    pub fn remove_node(&mut self, name: &str) {
        let Ok(at) = self.snapshot.position(name) else { return };
        let info = self.snapshot.nodes.remove(at);
        if !info.pods.is_empty() {
            self.homeless.insert(name.to_owned(), info.pods);
        }
    }

    /// Counts a pod on the node that its spec names, in place of what was counted for it before.
    pub fn set_pod(&mut self, pod: Arc<Pod>) {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else { return };
        self.assume(Arc::new(PodInfo::new(pod)), &node);
    }

    /// Counts a pod on a node that was just chosen for it.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.remove_pod(&pod.uid);
        self.placed.insert(pod.uid.clone(), node.to_owned());
        match self.snapshot.position(node) {
            Ok(at) => self.snapshot.nodes[at].add_pod(pod),
            Err(_) => self.homeless.entry(node.to_owned()).or_default().push(pod),
        }
    }

    /// No longer counts a pod, because it ended, is gone, or could not be bound.
    pub fn remove_pod(&mut self, uid: &str) {
        let Some(node) = self.placed.remove(uid) else { return };
        if let Ok(at) = self.snapshot.position(&node) {
            self.snapshot.nodes[at].remove_pod(uid);
        } else if let Some(pods) = self.homeless.get_mut(&node) {
            pods.retain(|pod| pod.uid != uid);
            if pods.is_empty() {
                self.homeless.remove(&node);
            }
        }
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}
