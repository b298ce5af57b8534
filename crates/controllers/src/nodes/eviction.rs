//! Deletes pods that do not tolerate their node's NoExecute taints. (upstream: pkg/controller/tainteviction)

use async_trait::async_trait;
use control::error::ignore_not_found;
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, meta, pods};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tracing::info;

use super::decide::{Stay, stay};
use super::taints;

pub struct TaintEviction {
    client: Client,
    recorder: Recorder,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
}

impl TaintEviction {
    pub fn new(shell: &Shell) -> Self {
        let pods = shell.informers.get::<Pod>();
        pods.add_index(pods::BY_NODE, pods::node_index);
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "taint-eviction-controller", ""),
            pods,
            nodes: shell.informers.get(),
        }
    }

    async fn evict(&self, pod: &Pod) -> Result<(), Error> {
        let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
        self.recorder.normal(pod, "TaintManagerEviction", format!("Marking for deletion Pod {namespace}/{name}"));
        info!(pod = %ObjectKey::of(&pod.metadata), "evicting from a tainted node");
        let api = Api::<Pod>::namespaced(self.client.clone(), &namespace);
        let message = "Taint manager: deleting due to NoExecute taint";
        let conditions = crate::disruption_target(pod, "DeletionByTaintManager", message);
        let version = pod.metadata.resource_version.as_deref();
        let status = json!({ "conditions": conditions });
        ignore_not_found(control::write::merge_status(&api, &name, version, &status).await)?;
        Ok(control::write::delete_uid(&api, &name, meta::uid(&pod.metadata), None).await?)
    }
}

/// The start of a pod's time on a tainted node: when the last taint came, or the pod if that is later.
fn tainted_since(node: &Node, pod: &Pod) -> Timestamp {
    let of_taint = |taint: &k8s_openapi::api::core::v1::Taint| taint.time_added.as_ref().map(|time| time.0);
    let added = taints(node).iter().filter(|taint| taint.effect == "NoExecute").filter_map(of_taint);
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    added.chain(started).chain(meta::created_at(&pod.metadata)).max().unwrap_or_else(clock::now)
}

fn evicting(node: &Node) -> Vec<(&str, Option<&str>)> {
    let no_execute = taints(node).iter().filter(|taint| taint.effect == "NoExecute");
    no_execute.map(|taint| (taint.key.as_str(), taint.value.as_deref())).collect()
}

#[async_trait]
impl Controller for TaintEviction {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        let nodes = self.nodes.clone();
        watches.on(move |change: &Change<Pod>| {
            let pod = change.object();
            let node = pods::node_name(pod).and_then(|name| nodes.find("", name));
            node.filter(|node| !evicting(node).is_empty()).map(|_| ObjectKey::of(&pod.metadata))
        });
        let pods = self.pods.clone();
        watches.on(move |change: &Change<Node>| {
            let node = change.object();
            let before = change.old().map(|old| evicting(old)).unwrap_or_default();
            let stands =
                if before == evicting(node) { Vec::new() } else { pods.by_index(pods::BY_NODE, &node.name_any()) };
            stands.iter().map(|pod| ObjectKey::of(&pod.metadata)).collect::<Vec<_>>()
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(pod) = self.pods.get(key).filter(|pod| !pods::is_terminating(pod)) else { return Ok(Requeue::No) };
        let Some(node) = pods::node_name(&pod).and_then(|name| self.nodes.find("", name)) else {
            return Ok(Requeue::No);
        };
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
        let Stay::For(span) = stay(taints(&node), tolerations) else { return Ok(Requeue::No) };
        let left = if span.is_zero() { span } else { pods::remaining(tainted_since(&node, &pod), span, clock::now()) };
        if !left.is_zero() {
            return Ok(Requeue::After(left));
        }
        self.evict(&pod).await.map(|()| Requeue::No)
    }
}
