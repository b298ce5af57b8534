//! All pods of the node: gives each its worker, and brings it news from API and runtime.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use containers::{ContainerStatus, Event as RuntimeEvent, SandboxState, SandboxStatus};
use control::{Change, Informers};
use k8s_openapi::api::core::v1::{Node as ApiNode, Pod};
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tracing::{Instrument, info, info_span, warn};

use crate::config::{Error, STATUS_CHECK};
use crate::container::sandbox::POD_UID_LABEL;
use crate::context::Node;
use crate::eviction;
use crate::machine::Headroom;
use crate::pod::admission::{Capacity, admit, selects_nodes};
use crate::pod::context::PodContext;
use crate::pod::observe::observe;
use crate::pod::state::{Sandbox, Verdict};
use crate::pod::worker::Worker;
use crate::pod::{Event, State, spec};
use crate::volumes;

/// What is known of a pod that has a worker.
#[derive(Clone)]
pub struct Known {
    pub pod: Arc<Pod>,
    cx: Arc<PodContext>,
    events: mpsc::UnboundedSender<Event>,
    /// It was refused, so it takes nothing of the node.
    refused: bool,
}

/// The pods that have workers, by uid; shared with the node's own API.
#[derive(Clone, Default)]
pub struct Table(Arc<Mutex<HashMap<String, Known>>>);

impl Table {
    pub fn list(&self) -> Vec<Arc<Pod>> {
        self.0.lock().values().map(|known| known.pod.clone()).collect()
    }

    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let found = |pod: &Arc<Pod>| spec::namespace(pod) == namespace && spec::name(pod) == name;
        self.list().into_iter().find(found)
    }

    fn get(&self, uid: &str) -> Option<Known> {
        self.0.lock().get(uid).cloned()
    }
}

/// What an earlier agent left in the runtime, by the pod's uid.
#[derive(Default)]
struct Left {
    sandboxes: Vec<SandboxStatus>,
    containers: Vec<ContainerStatus>,
}

/// Runs the pods of a node.
pub struct Pods {
    node: Arc<Node>,
    table: Table,
    labels: BTreeMap<String, String>,
    left: HashMap<String, Left>,
    workers: JoinSet<String>,
}

impl Pods {
    pub fn new(node: Arc<Node>, table: Table, labels: BTreeMap<String, String>) -> Pods {
        Pods { node, table, labels, left: HashMap::new(), workers: JoinSet::new() }
    }

    /// Runs until the task is dropped; the workers end with it, containers do not.
    pub async fn run(mut self, informers: &Informers) -> Result<(), Error> {
        let mut events = self.node.runtime.events();
        self.find_left().await?;
        let informer = informers.select::<Pod>(&format!("spec.nodeName={}", self.node.config.node_name), "");
        informer.synced().await;
        self.remove_orphans(&informer.list()).await;
        let (sender, mut changes) = mpsc::unbounded_channel();
        informer.subscribe(move |change| {
            if sender.send(change.clone()).is_err() {
                tracing::debug!("a change of a pod after the end");
            }
        });
        let mut checks = tokio::time::interval(STATUS_CHECK);
        loop {
            tokio::select! {
                _ = checks.tick() => self.relieve().await,
                Some(change) = changes.recv() => self.changed(change).await,
                event = events.recv() => self.happened(event).await,
                Some(ended) = self.workers.join_next() => self.ended(ended),
            }
        }
    }

    async fn find_left(&mut self) -> Result<(), Error> {
        for sandbox in self.node.runtime.list_sandboxes().await? {
            self.left.entry(sandbox.metadata.uid.clone()).or_default().sandboxes.push(sandbox);
        }
        for container in self.node.runtime.list_containers().await? {
            if let Some(uid) = container.labels.get(POD_UID_LABEL).cloned() {
                self.left.entry(uid).or_default().containers.push(container);
            }
        }
        for left in self.left.values_mut() {
            left.sandboxes.sort_by_key(|sandbox| sandbox.metadata.attempt);
            left.containers.sort_by_key(|container| container.attempt);
        }
        Ok(())
    }

    /// Removes what belongs to pods that the API no longer has.
    async fn remove_orphans(&mut self, pods: &[Arc<Pod>]) {
        let known: HashSet<&str> = pods.iter().map(|pod| spec::uid(pod)).collect();
        let orphans: Vec<String> = self.left.keys().filter(|uid| !known.contains(uid.as_str())).cloned().collect();
        for uid in orphans {
            let left = self.left.remove(&uid).unwrap_or_default();
            info!(uid, "removing what a deleted pod left");
            for sandbox in left.sandboxes {
                if let Err(error) = remove(&self.node, &sandbox.id).await {
                    warn!(%error, id = sandbox.id, "cannot remove an orphaned sandbox");
                }
            }
        }
        for (dir, keep) in [(self.node.paths.pods(), Keep::Uid), (self.node.paths.logs(), Keep::Suffix)] {
            if let Err(error) = remove_dirs(&dir, keep, &known) {
                warn!(%error, dir = %dir.display(), "cannot remove what deleted pods left");
            }
        }
    }

    async fn changed(&mut self, change: Change<Pod>) {
        let pod = change.object().clone();
        let uid = spec::uid(&pod).to_string();
        match (self.table.get(&uid), change.is_deletion()) {
            (Some(known), true) => self.tell(&known, Event::Gone(pod)),
            (Some(known), false) => {
                if let Some(known) = self.table.0.lock().get_mut(&uid) {
                    known.pod = pod.clone();
                }
                self.tell(&known, Event::Pod(pod));
            }
            (None, true) => {}
            (None, false) => self.begin(uid, pod).await,
        }
    }

    /// Evicts one pod when the machine is short of memory. A simulated machine never is.
    async fn relieve(&self) {
        if self.node.config.machine.is_some() {
            return;
        }
        let headroom = match Headroom::of_host(&self.node.config.root_dir) {
            Ok(headroom) if headroom.memory_pressure() => headroom,
            Ok(_) => return,
            Err(error) => return warn!(%error, "cannot read how much memory is free"),
        };
        match eviction::usages(self.node.runtime.as_ref(), self.table.list()).await {
            Ok(candidates) => {
                let chosen = eviction::choose(&candidates).and_then(|chosen| self.table.get(spec::uid(&chosen.pod)));
                if let Some(known) = chosen {
                    self.tell(&known, Event::Evict(eviction::verdict(&headroom)));
                }
            }
            Err(error) => warn!(%error, "cannot tell what the pods use"),
        }
    }

    fn tell(&self, known: &Known, event: Event) {
        if known.events.send(event).is_err() {
            tracing::debug!(pod = spec::full_name(&known.pod), "news for a worker that has ended");
        }
    }

    async fn begin(&mut self, uid: String, pod: Arc<Pod>) {
        let left = self.left.remove(&uid);
        let fresh = left.is_none() && !spec::ended(&pod) && !spec::deleted(&pod);
        if fresh && selects_nodes(&pod) {
            self.refresh_labels().await;
        }
        let verdict = if fresh { self.admit(&pod) } else { None };
        let (events, inbox) = mpsc::unbounded_channel();
        let cx = Arc::new(PodContext::new(self.node.clone(), pod.clone(), events.clone()));
        let refused = verdict.is_some();
        if let Some(verdict) = &verdict {
            cx.record(None, true, &verdict.reason, verdict.message.clone());
        }
        let verdict =
            verdict.map(|verdict| Verdict { message: format!("Pod was rejected: {}", verdict.message), ..verdict });
        let mut state = State::new(pod.clone(), verdict, clock::now_seconds());
        let adopted = match left {
            Some(left) => adopt(&cx, &mut state, left).await,
            None => Vec::new(),
        };
        let span = info_span!("pod", namespace = spec::namespace(&pod), name = spec::name(&pod));
        let worker = Worker::new(cx.clone(), state);
        self.table.0.lock().insert(uid.clone(), Known { pod, cx, events, refused });
        self.workers.spawn(
            async move {
                worker.run(adopted, inbox).await;
                uid
            }
            .instrument(span),
        );
    }

    /// Labels may have been set since the node registered, and the scheduler has seen them.
    async fn refresh_labels(&mut self) {
        let nodes: kube::Api<ApiNode> = kube::Api::all(self.node.client.clone());
        match nodes.get(&self.node.config.node_name).await {
            Ok(node) => self.labels = node.metadata.labels.unwrap_or_default(),
            Err(error) => warn!(%error, "the node's labels are those of its start"),
        }
    }

    fn admit(&self, pod: &Pod) -> Option<Verdict> {
        let machine = &self.node.machine;
        let known: Vec<Known> = self.table.0.lock().values().cloned().collect();
        let active = known.into_iter().filter(|known| !known.refused && !spec::ended(&known.pod));
        let others: Vec<Arc<Pod>> = active.map(|known| known.pod).collect();
        let amount = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let capacity = Capacity {
            cpu: amount(machine.cpus * 1000),
            memory: amount(machine.allocatable_memory()),
            storage: amount(machine.allocatable_storage()),
            pods: i64::from(self.node.config.max_pods),
            node_name: &self.node.config.node_name,
            labels: &self.labels,
            others: &others,
        };
        admit(pod, &capacity)
    }

    async fn happened(&mut self, event: Result<RuntimeEvent, broadcast::error::RecvError>) {
        match event {
            Ok(RuntimeEvent::Started { container_id, .. } | RuntimeEvent::Exited { container_id, .. }) => {
                self.look_at(&container_id).await;
            }
            Ok(RuntimeEvent::Lagged) | Err(broadcast::error::RecvError::Lagged(_)) => self.look_at_all().await,
            // The runtime is going away with the process; the shutdown ends this loop.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    async fn look_at(&self, container_id: &str) {
        match self.node.runtime.container_status(container_id).await {
            Ok(status) => self.news_of(&status).await,
            Err(containers::Error::NotFound(_)) => {}
            Err(error) => warn!(%error, container_id, "cannot read a container's status"),
        }
    }

    async fn news_of(&self, status: &ContainerStatus) {
        let known = status.labels.get(POD_UID_LABEL).and_then(|uid| self.table.get(uid));
        let Some(known) = known else { return };
        if let Some(observation) = observe(&known.cx, status, None).await {
            self.tell(&known, Event::Observed(observation));
        }
    }

    /// Events were lost, so everything is looked at, sandboxes too.
    async fn look_at_all(&self) {
        match self.node.runtime.list_containers().await {
            Ok(containers) => {
                for container in containers {
                    self.news_of(&container).await;
                }
            }
            Err(error) => warn!(%error, "cannot list containers"),
        }
        match self.node.runtime.list_sandboxes().await {
            Ok(sandboxes) => sandboxes.iter().for_each(|sandbox| self.sandbox_news(sandbox)),
            Err(error) => warn!(%error, "cannot list sandboxes"),
        }
    }

    fn sandbox_news(&self, sandbox: &SandboxStatus) {
        let Some(known) = self.table.get(&sandbox.metadata.uid) else { return };
        let current = known.cx.sandbox().is_some_and(|(id, _)| id == sandbox.id);
        if current && sandbox.state == SandboxState::NotReady {
            self.tell(&known, Event::SandboxLost);
        }
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => {
                self.table.0.lock().remove(&uid);
            }
            Err(error) => warn!(%error, "a pod's worker failed"),
        }
    }
}

/// Takes over what runs of a pod, and answers the effects of that.
async fn adopt(cx: &PodContext, state: &mut State, left: Left) -> Vec<crate::pod::Effect> {
    let mut observations = Vec::new();
    for container in &left.containers {
        observations.extend(observe(cx, container, None).await);
    }
    let Some(last) = left.sandboxes.last() else { return Vec::new() };
    let sandbox = match last.state {
        SandboxState::Ready => {
            cx.set_sandbox(Some((last.id.clone(), last.ips.clone())));
            Sandbox::Ready { id: last.id.clone(), ips: last.ips.clone() }
        }
        SandboxState::NotReady if spec::ended(&state.pod) => Sandbox::Stopped { id: last.id.clone() },
        SandboxState::NotReady => Sandbox::None,
    };
    state.adopt(sandbox, last.metadata.attempt, observations, &cx.node.view.scheme)
}

async fn remove(node: &Node, sandbox: &str) -> containers::Result<()> {
    node.runtime.stop_sandbox(sandbox).await?;
    node.runtime.remove_sandbox(sandbox).await
}

/// How a directory's name tells its pod.
#[derive(Clone, Copy)]
enum Keep {
    Uid,
    /// `NAMESPACE_NAME_UID`.
    Suffix,
}

fn remove_dirs(dir: &std::path::Path, keep: Keep, known: &HashSet<&str>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let uid = match keep {
            Keep::Uid => name.as_ref(),
            Keep::Suffix => name.rsplit('_').next().unwrap_or_default(),
        };
        if !known.contains(uid) {
            volumes::tear_down(&entry.path())?;
        }
    }
    Ok(())
}
