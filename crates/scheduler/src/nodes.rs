//! Nodes as the scheduler sees them: what they have, what is taken, who runs there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::pods::PodInfo;
use crate::resources::Resources;

#[derive(Clone, Debug)]
pub struct NodeInfo {
    pub name: String,
    pub node: Arc<Node>,
    pub allocatable: Resources,
    pub requested: Resources,
    /// Requests with upstream's defaults, for scores.
    pub scored: (i64, i64),
    pub pods: Vec<Arc<PodInfo>>,
    /// Those of `pods` that have a say about pods near them: mostly none, and who looks for them looks at every node.
    pub pods_with_affinity: Vec<Arc<PodInfo>>,
    /// Sizes in bytes of the images that are there, by name.
    pub images: HashMap<String, i64>,
}

impl NodeInfo {
    pub fn new(node: Arc<Node>) -> Self {
        let mut info = Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            node: node.clone(),
            allocatable: Resources::default(),
            requested: Resources::default(),
            scored: (0, 0),
            pods: Vec::new(),
            pods_with_affinity: Vec::new(),
            images: HashMap::new(),
        };
        info.set_node(node);
        info
    }

    /// Takes a newer state of the node; its pods stay.
    pub fn set_node(&mut self, node: Arc<Node>) {
        let status = node.status.clone().unwrap_or_default();
        self.allocatable = status.allocatable.as_ref().map(Resources::of).unwrap_or_default();
        let images = status.images.iter().flatten();
        let sizes = images.flat_map(|image| {
            let size = image.size_bytes.unwrap_or(0);
            image.names.iter().flatten().map(move |name| (name.clone(), size)).collect::<Vec<_>>()
        });
        self.images = sizes.collect();
        self.node = node;
    }

    pub fn add_pod(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.scored.0 += pod.scored.0;
        self.scored.1 += pod.scored.1;
        if pod.has_affinity {
            self.pods_with_affinity.push(pod.clone());
        }
        self.pods.push(pod);
    }

    pub fn remove_pod(&mut self, uid: &str) {
        if let Some(at) = self.pods.iter().position(|pod| pod.uid == uid) {
            let pod = self.pods.swap_remove(at);
            self.requested.subtract(&pod.requests);
            self.scored.0 -= pod.scored.0;
            self.scored.1 -= pod.scored.1;
            self.pods_with_affinity.retain(|other| other.uid != uid);
        }
    }

    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.node.metadata.labels.as_ref().unwrap_or(&NONE)
    }

    pub fn taints(&self) -> &[Taint] {
        self.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }

    pub fn is_unschedulable(&self) -> bool {
        self.node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
    }
}

/// All nodes at one moment, ordered by name.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub nodes: Vec<NodeInfo>,
}

impl Snapshot {
    pub fn pods(&self) -> impl Iterator<Item = (&NodeInfo, &PodInfo)> {
        self.nodes.iter().flat_map(|node| node.pods.iter().map(move |pod| (node, pod.as_ref())))
    }

    pub fn pods_with_affinity(&self) -> impl Iterator<Item = (&NodeInfo, &PodInfo)> {
        self.nodes.iter().flat_map(|node| node.pods_with_affinity.iter().map(move |pod| (node, pod.as_ref())))
    }

    /// Where the node of this name is, or where it would be.
    pub fn position(&self, name: &str) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.name.as_str().cmp(name))
    }
}
