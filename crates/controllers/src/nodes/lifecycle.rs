//! The controller of node health.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::error::ignore_not_found;
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, pods};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::info;

use super::condition;
use super::decide::{Disruption, Plan, View, decide, disruption};

/// The time between two nodes whose pods begin to be evicted. (upstream: --node-eviction-rate 0.1)
const EVICTION_PERIOD: Duration = Duration::from_secs(10);

/// Signs of life by node, by our own clock: the nodes' clocks do not count.
#[derive(Default)]
struct Health(Mutex<HashMap<String, Instant>>);

impl Health {
    fn seen(&self, node: &str) {
        self.0.lock().insert(node.to_owned(), clock::monotonic());
    }

    /// A node that was never seen before is first seen now.
    fn silent_for(&self, node: &str) -> Duration {
        self.0.lock().entry(node.to_owned()).or_insert_with(clock::monotonic).elapsed()
    }

    fn forget(&self, node: &str) {
        self.0.lock().remove(node);
    }
}

pub struct NodeLifecycle {
    client: Client,
    recorder: Recorder,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    leases: Informer<Lease>,
    health: Arc<Health>,
    next_eviction: Mutex<Option<Instant>>,
}

impl NodeLifecycle {
    pub fn new(shell: &Shell) -> Self {
        let pods = shell.informers.get::<Pod>();
        pods.add_index(pods::BY_NODE, pods::node_index);
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "node-controller", ""),
            nodes: shell.informers.get(),
            pods,
            leases: shell.informers.select("metadata.namespace=kube-node-lease", ""),
            health: Arc::default(),
            next_eviction: Mutex::default(),
        }
    }

    fn disruption(&self) -> Disruption {
        let nodes = self.nodes.list();
        let ready = nodes.iter().filter(|node| is_ready(node)).count();
        disruption(ready, nodes.len() - ready)
    }

    /// The time until the next node's pods may be evicted.
    fn eviction_in(&self) -> Duration {
        let next = *self.next_eviction.lock();
        next.map_or(Duration::ZERO, |next| next.saturating_duration_since(clock::monotonic()))
    }

    fn view(&self, node: &Node) -> View {
        let disruption = self.disruption();
        View {
            conditions: node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default(),
            taints: super::taints(node).to_vec(),
            unschedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default(),
            silent_for: self.health.silent_for(&node.name_any()),
            may_evict: disruption == Disruption::Normal && self.eviction_in().is_zero(),
            must_not_evict: disruption == Disruption::Full,
            now: clock::now(),
        }
    }

    async fn apply(&self, node: &Node, plan: &Plan) -> Result<(), Error> {
        let api = Api::<Node>::all(self.client.clone());
        let name = node.name_any();
        let mut version = node.metadata.resource_version.clone();
        if let Some(conditions) = &plan.conditions {
            info!(node = name, "no sign of life, its conditions are unknown");
            let status = json!({ "conditions": conditions });
            let written = control::write::merge_status(&api, &name, version.as_deref(), &status).await?;
            version = written.metadata.resource_version;
        }
        if let Some(taints) = &plan.taints {
            if plan.evicts {
                *self.next_eviction.lock() = Some(clock::monotonic() + EVICTION_PERIOD);
            }
            let taints = if taints.is_empty() { Value::Null } else { json!(taints) };
            let patch = json!({ "metadata": { "resourceVersion": version }, "spec": { "taints": taints } });
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        Ok(())
    }

    /// Pods on a node that is not ready are not ready either, so that services drop them.
    async fn mark_pods_not_ready(&self, node: &Node) -> Result<(), Error> {
        for pod in self.pods.by_index(pods::BY_NODE, &node.name_any()) {
            if !pods::is_ready(&pod) {
                continue;
            }
            let mut conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
            for ready in conditions.iter_mut().filter(|condition| condition.type_ == "Ready") {
                ready.status = "False".to_owned();
                ready.last_transition_time = Some(Time(clock::now_seconds()));
            }
            let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
            let status = json!({ "conditions": conditions });
            let version = pod.metadata.resource_version.as_deref();
            ignore_not_found(control::write::merge_status(&api, &pod.name_any(), version, &status).await)?;
            self.recorder.warning(&*pod, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }
}

fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Whether the node itself wrote: its heartbeat moved.
fn is_heartbeat(change: &Change<Node>) -> bool {
    let heartbeat = |node: &Node| condition(node, "Ready").map(|ready| ready.last_heartbeat_time.clone());
    change.old().is_none_or(|old| heartbeat(old) != heartbeat(change.object()))
}

#[async_trait]
impl Controller for NodeLifecycle {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "node_lifecycle_controller"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        let (health, recorder, nodes) = (self.health.clone(), self.recorder.clone(), self.nodes.clone());
        watches.on(move |change: &Change<Node>| {
            let node = change.object();
            let name = node.name_any();
            match change {
                Change::Deleted(_) => health.forget(&name),
                _ if is_heartbeat(change) => health.seen(&name),
                _ => {}
            }
            let (was, is) = (change.old().is_some_and(|old| is_ready(old)), is_ready(node));
            if was && !is && !change.is_deletion() {
                recorder.normal(&**node, "NodeNotReady", format!("Node {name} status is now: NodeNotReady"));
            }
            // One node's return may end a disruption that held back the others' taints.
            let others = nodes.list().into_iter().filter(|other| was != is && other.name_any() != name);
            let mut keys: Vec<ObjectKey> = others.map(|other| ObjectKey::of(&other.metadata)).collect();
            keys.push(ObjectKey::cluster(&name));
            keys
        });
        let health = self.health.clone();
        watches.on_informer(&self.leases, move |change: &Change<Lease>| {
            let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
            let name = change.object().name_any();
            if !change.is_deletion() && change.old().is_none_or(|old| renewed(old) != renewed(change.object())) {
                health.seen(&name);
            }
            // A renewal moves the deadline; the key that waits for the old one looks again when it comes.
            None
        });
        watches.needs(&self.pods);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(node) = self.nodes.get(key) else { return Ok(Requeue::No) };
        let plan = decide(&self.view(&node));
        self.apply(&node, &plan).await?;
        let lost = plan.conditions.is_some() || condition(&node, "Ready").is_some_and(|ready| ready.status != "True");
        if lost {
            self.mark_pods_not_ready(&node).await?;
        }
        let turn = plan.waits_for_turn.then(|| self.eviction_in().max(Duration::from_secs(1)));
        Ok(Requeue::maybe(plan.requeue_after.into_iter().chain(turn).min()))
    }
}
