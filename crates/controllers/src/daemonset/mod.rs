//! Keeps a pod on every node that wants it. (upstream: pkg/controller/daemon)

mod decide;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::meta::Labels;
use control::{
    Change, Controller, Error, Expectations, Informer, ObjectKey, Recorder, Requeue, Round, Shell, Watches, meta, pods,
    scaled_value,
};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration,
};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::history::{History, REVISION_LABEL, Revision, pod_revision, template_of, template_patch};
use crate::nodes::{affinity, taints};
use crate::podset;
use decide::{Action, Counts, NodeView, PodView, View, Why, decide};

/// How long a node waits for a new pod after one failed; it doubles each time. (upstream: failedPodsBackoff)
const FAILURE_BASE: Duration = Duration::from_secs(1);
const FAILURE_MAX: Duration = Duration::from_secs(15 * 60);

/// Delays after failed pods, by set and node.
type Failures = Mutex<HashMap<(ObjectKey, String), (Duration, Instant)>>;

pub struct DaemonSetController {
    client: Client,
    recorder: Recorder,
    sets: Informer<DaemonSet>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    revisions: Informer<ControllerRevision>,
    expectations: Arc<Expectations>,
    failures: Failures,
}

impl DaemonSetController {
    pub fn new(shell: &Shell) -> Self {
        let pods = shell.informers.get::<Pod>();
        podset::add_indexes(&pods);
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "daemonset-controller", ""),
            sets: shell.informers.get(),
            pods,
            nodes: shell.informers.get(),
            revisions: shell.informers.get(),
            expectations: Arc::default(),
            failures: Mutex::default(),
        }
    }

    async fn claim(&self, set: &DaemonSet, selector: &Labels) -> Result<Vec<Arc<Pod>>, Error> {
        let mut mine = Vec::new();
        for pod in podset::candidates(&self.pods, &set.metadata) {
            let owned = meta::is_controlled_by(&pod.metadata, &set.metadata);
            match (owned, selector.matches(&pod.metadata)) {
                (true, true) => mine.push(pod),
                (true, false) => podset::release(&self.client, &set.metadata, &pod).await?,
                (false, true) if !meta::is_terminating(&set.metadata) && pods::is_active(&pod) => {
                    podset::adopt(&self.client, set, &pod).await?;
                }
                _ => {}
            }
        }
        Ok(mine)
    }

    fn view(&self, key: &ObjectKey, set: &DaemonSet, pods: &[Arc<Pod>], revision: &str) -> Result<View, Error> {
        let now = clock::now();
        let spec = set.spec.clone().unwrap_or_default();
        let template = daemon_spec(spec.template.spec.clone().unwrap_or_default());
        let mut nodes: BTreeMap<String, NodeView> = BTreeMap::new();
        for node in self.nodes.list() {
            let (should_run, may_stay) = fits(&template, &node);
            nodes.insert(node.name_any(), NodeView { should_run, may_stay, pods: Vec::new() });
        }
        for pod in pods {
            if let Some(node) = target_node(pod) {
                nodes.entry(node).or_default().pods.push(pod_view(set, pod, revision, now));
            }
        }
        let desired = i32::try_from(nodes.values().filter(|node| node.should_run).count()).unwrap_or(i32::MAX);
        let strategy = spec.update_strategy.unwrap_or_default();
        let rolling = strategy.rolling_update.unwrap_or_default();
        let count = |value, round| scaled_value(&value, desired, round).map(|n| usize::try_from(n).unwrap_or_default());
        let zero = k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(0);
        let one = k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(1);
        Ok(View {
            nodes,
            on_delete: strategy.type_.as_deref() == Some("OnDelete"),
            max_surge: count(rolling.max_surge.unwrap_or(zero), Round::Up)?,
            max_unavailable: count(rolling.max_unavailable.unwrap_or(one), Round::Up)?,
            deleting: meta::is_terminating(&set.metadata),
            in_flight: !self.expectations.satisfied(key),
        })
    }

    async fn apply(
        &self,
        key: &ObjectKey,
        set: &DaemonSet,
        actions: Vec<Action>,
        newest: &Revision,
    ) -> Result<Option<Duration>, Error> {
        let (creates, deletes): (Vec<_>, Vec<_>) =
            actions.into_iter().partition(|action| matches!(action, Action::Create { .. }));
        let mut wait = None;
        for action in deletes {
            let Action::Delete { pod, node, why } = action else { continue };
            let left = self.failure_wait(key, &node, why);
            if left.is_zero() {
                self.delete(key, set, &pod, &node, why).await?;
            } else {
                wait = Some(wait.map_or(left, |known: Duration| known.min(left)));
            }
        }
        let nodes: Vec<String> = creates
            .into_iter()
            .filter_map(|action| match action {
                Action::Create { node } => Some(node),
                Action::Delete { .. } => None,
            })
            .take(podset::BURST_MAX)
            .collect();
        self.create(key, set, &nodes, newest).await?;
        Ok(wait)
    }

    /// The time a failed pod has to stay before another one is tried in its place.
    fn failure_wait(&self, key: &ObjectKey, node: &str, why: Why) -> Duration {
        if why != Why::Failed {
            return Duration::ZERO;
        }
        let mut failures = self.failures.lock();
        let now = clock::monotonic();
        let (delay, until) = failures.entry((key.clone(), node.to_owned())).or_insert((FAILURE_BASE / 2, now));
        if *until > now {
            return *until - now;
        }
        // A node that was well for twice the longest delay starts anew.
        let rested = now.duration_since(*until) > 2 * FAILURE_MAX;
        *delay = if rested { FAILURE_BASE } else { (*delay * 2).min(FAILURE_MAX) };
        *until = now + *delay;
        Duration::ZERO
    }

    async fn create(&self, key: &ObjectKey, set: &DaemonSet, nodes: &[String], newest: &Revision) -> Result<(), Error> {
        let template = template_of(newest)?;
        let owner = meta::controller_ref(set);
        let mut pod = podset::from_template(&template, &key.namespace, &key.name, owner);
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(REVISION_LABEL.to_owned(), short_revision(set, &newest.name).to_owned());
        if let Some(generation) = set.metadata.generation {
            labels.insert("pod-template-generation".to_owned(), generation.to_string());
        }
        let spec = daemon_spec(pod.spec.take().unwrap_or_default());
        self.expectations.expect_creations(key, nodes.len());
        let create = |at: usize| {
            let pod = Pod { spec: Some(bound_to(spec.clone(), &nodes[at])), ..pod.clone() };
            async move { podset::create_pod(&self.client, &self.recorder, set, &pod).await }
        };
        let (created, error) = podset::slow_start(nodes.len(), create).await;
        (created..nodes.len()).for_each(|_| self.expectations.creation_observed(key));
        error.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn delete(&self, key: &ObjectKey, set: &DaemonSet, pod: &str, node: &str, why: Why) -> Result<(), Error> {
        let Some(present) = self.pods.find(&key.namespace, pod) else { return Ok(()) };
        let place = format!("daemon pod {}/{pod} on node {node}", key.namespace);
        match why {
            Why::Failed => {
                self.recorder.warning(set, "FailedDaemonPod", format!("Found failed {place}, will try to kill it"));
            }
            Why::Succeeded => {
                let message = format!("Found succeeded {place}, will try to delete it");
                self.recorder.normal(set, "SucceededDaemonPod", message);
            }
            Why::Surplus | Why::Outdated => {}
        }
        let uid = present.uid().unwrap_or_default();
        self.expectations.expect_deletions(key, [uid.clone()]);
        let deleted = podset::delete_pod(&self.client, &self.recorder, set, pod, &uid).await;
        if deleted.is_err() {
            self.expectations.deletion_observed(key, &uid);
        }
        Ok(deleted?)
    }

    async fn write_status(&self, set: &DaemonSet, counts: Counts) -> Result<(), Error> {
        let int = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let old = set.status.clone().unwrap_or_default();
        let unavailable = counts.desired.saturating_sub(counts.available);
        let wanted = DaemonSetStatus {
            desired_number_scheduled: int(counts.desired),
            current_number_scheduled: int(counts.current),
            number_misscheduled: int(counts.misscheduled),
            number_ready: int(counts.ready),
            number_available: Some(int(counts.available)).filter(|count| *count > 0),
            number_unavailable: Some(int(unavailable)).filter(|count| *count > 0),
            updated_number_scheduled: Some(int(counts.updated)).filter(|count| *count > 0),
            observed_generation: set.metadata.generation,
            collision_count: old.collision_count,
            conditions: old.conditions.clone(),
        };
        if wanted == old {
            return Ok(());
        }
        let api = Api::<DaemonSet>::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        control::write::replace_status(&api, &DaemonSet { status: Some(wanted), ..set.clone() }).await?;
        Ok(())
    }
}

/// Pods of daemon sets carry the hash alone, not the whole name of their revision.
fn short_revision<'a>(set: &DaemonSet, name: &'a str) -> &'a str {
    let owner = set.metadata.name.as_deref().unwrap_or_default();
    name.strip_prefix(owner).and_then(|rest| rest.strip_prefix('-')).unwrap_or(name)
}

fn pod_view(set: &DaemonSet, pod: &Arc<Pod>, revision: &str, now: Timestamp) -> PodView {
    let seconds = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default();
    PodView {
        name: pod.name_any(),
        created: meta::created_at(&pod.metadata).unwrap_or_default(),
        updated: pod_revision(pod) == short_revision(set, revision),
        terminating: pods::is_terminating(pod),
        failed: pods::phase(pod) == "Failed",
        succeeded: pods::phase(pod) == "Succeeded",
        ready: pods::is_ready(pod),
        available_in: pods::available_in(pod, pods::seconds(seconds.into()), now),
    }
}

/// The node a pod is bound to, or the one it was made for.
fn target_node(pod: &Pod) -> Option<String> {
    if let Some(node) = pods::node_name(pod) {
        return Some(node.to_owned());
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    fields.filter(|field| field.key == "metadata.name").find_map(|field| field.values.as_ref()?.first().cloned())
}

/// Whether a new pod belongs on the node, and whether one that is there may stay.
fn fits(spec: &PodSpec, node: &Node) -> (bool, bool) {
    let named = spec.node_name.as_deref().is_none_or(|name| name.is_empty() || name == node.name_any());
    if !named || !affinity::admits(spec, node) {
        return (false, false);
    }
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let may_stay = !affinity::repels(taints(node), tolerations, &["NoExecute"]);
    (may_stay && !affinity::repels(taints(node), tolerations, &["NoSchedule"]), may_stay)
}

/// Daemons tolerate what befalls their node.
fn daemon_spec(mut spec: PodSpec) -> PodSpec {
    let host_network = spec.host_network.unwrap_or_default();
    let always = [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ];
    let network = host_network.then_some(("network-unavailable", "NoSchedule"));
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in always.into_iter().chain(network) {
        let toleration = Toleration {
            key: Some(format!("node.kubernetes.io/{key}")),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    spec
}

/// Lets the scheduler put the pod on this node only.
fn bound_to(mut spec: PodSpec, node: &str) -> PodSpec {
    let field = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![field]), match_expressions: None };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
    spec
}

/// Changes of a node that may move daemons.
fn matters(change: &Change<Node>) -> bool {
    let facts = |node: &Node| (node.metadata.labels.clone(), taints(node).to_vec());
    change.old().is_none_or(|old| facts(old) != facts(change.object()))
}

#[async_trait]
impl Controller for DaemonSetController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "daemonset"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<DaemonSet>| [ObjectKey::of(&change.object().metadata)]);
        let expectations = self.expectations.clone();
        watches.on(move |change: &Change<Pod>| podset::observe::<DaemonSet>(change, &expectations));
        let sets = self.sets.clone();
        watches.on(move |change: &Change<Node>| {
            let all = if matters(change) { sets.list() } else { Vec::new() };
            all.into_iter().map(|set| ObjectKey::of(&set.metadata)).collect::<Vec<_>>()
        });
        watches.needs(&self.revisions);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(set) = self.sets.get(key) else {
            self.expectations.forget(key);
            self.failures.lock().retain(|(owner, _), _| owner != key);
            return Ok(Requeue::No);
        };
        let Some(spec) = set.spec.as_ref() else { return Ok(Requeue::No) };
        let selector = Labels::compile(Some(&spec.selector))?;
        if selector.selects_all() {
            let message = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.recorder.warning(&*set, "SelectingAll", message);
            return Ok(Requeue::No);
        }
        let pods = self.claim(&set, &selector).await?;
        let history = History { client: &self.client, revisions: &self.revisions, owner: &*set };
        let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or_default();
        let data = template_patch(&spec.template)?;
        let revisions = history.sync(data, &selector, &spec.template, collisions).await?;
        let Some(newest) = revisions.last() else { return Ok(Requeue::No) };
        let plan = decide(&self.view(key, &set, &pods, &newest.name)?);
        let outcome = self.apply(key, &set, plan.actions, newest).await;
        self.write_status(&set, plan.counts).await?;
        let wait = outcome?;
        let prefix = format!("{}-", set.name_any());
        let used: Vec<String> = pods.iter().map(|pod| format!("{prefix}{}", pod_revision(pod))).collect();
        let mut used: Vec<&str> = used.iter().map(String::as_str).collect();
        used.push(&newest.name);
        let limit = spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(10);
        history.truncate(&revisions, &used, limit).await?;
        Ok(Requeue::maybe(plan.requeue_after.into_iter().chain(wait).min()))
    }
}
