//! Drives one pod's state machine: takes events in, carries effects out, publishes the status.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::context::PodContext;
use super::state::{State, Volumes};
use super::status::status;
use super::step::{Effect, Event, StartError, step};
use super::writer::{Wanted, write_all};
use super::{halt, launch, spec};
use crate::container::sandbox::sandbox_config;
use crate::probes;
use crate::volumes;

/// One pod's worker.
pub struct Worker {
    cx: Arc<PodContext>,
    state: State,
    wanted: watch::Sender<Wanted>,
    /// Ends with the worker; what runs in the runtime is not touched.
    tasks: JoinSet<()>,
    starts: HashMap<String, CancellationToken>,
    probes: HashMap<String, probes::Handle>,
    /// Whether the pod is remembered no more.
    forgotten: bool,
}

impl Worker {
    pub fn new(cx: Arc<PodContext>, state: State) -> Worker {
        let wanted = watch::Sender::new(Wanted::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(write_all(cx.node.client.clone(), state.pod.clone(), wanted.subscribe()));
        Worker { cx, state, wanted, tasks, starts: HashMap::new(), probes: HashMap::new(), forgotten: false }
    }

    /// Runs until the pod is gone from API and node, or the agent ends. `adopted` are the effects of an adoption.
    pub async fn run(mut self, adopted: Vec<Effect>, mut events: mpsc::UnboundedReceiver<Event>) {
        let mut references = self.cx.node.references.version();
        let mut stamp = self.cx.references().stamp();
        self.carry_out(adopted).await;
        let pod = self.state.pod.clone();
        self.take(Event::Pod(pod)).await;
        while !self.forgotten {
            let wake = sleep_until(self.state.wake_at(clock::now()));
            let renewal = sleep_until(self.cx.tokens.renew_at().filter(|_| self.state.volumes == Volumes::Up));
            let event = tokio::select! {
                event = events.recv() => event.expect("the worker's own context holds a sender"),
                () = wake => Event::Tick,
                () = renewal => {
                    self.refresh_volumes();
                    // Lets the renewal end before its time is looked at again.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
                changed = references.changed() => {
                    changed.expect("the node holds the sender");
                    let now = self.cx.references().stamp();
                    if now == stamp {
                        continue;
                    }
                    stamp = now;
                    self.refresh_volumes();
                    Event::References
                }
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        warn!(%error, pod = spec::full_name(&self.state.pod), "a task of the pod failed");
                    }
                    continue;
                }
            };
            self.take(event).await;
        }
    }

    async fn take(&mut self, event: Event) {
        if let Event::Pod(pod) | Event::Gone(pod) = &event {
            self.pod_changed(pod);
        }
        if let Event::SandboxUp(Ok(sandbox)) = &event {
            self.cx.set_sandbox(Some(sandbox.clone()));
        }
        let effects = step(&mut self.state, event, clock::now());
        let deletes = effects.contains(&Effect::DeletePod);
        let told = self.wanted.borrow().status.clone();
        let status = status(&self.state, told.as_ref(), &self.cx.node.view, clock::now());
        self.wanted.send_if_modified(|wanted| {
            let wish = Wanted { status: Some(status), delete: wanted.delete || deletes };
            let differs = *wanted != wish;
            *wanted = wish;
            differs
        });
        self.carry_out(effects).await;
    }

    fn pod_changed(&mut self, pod: &Arc<Pod>) {
        let meta = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
        let relabelled = meta(&self.cx.pod()) != meta(pod);
        self.cx.set_pod(pod.clone());
        if relabelled {
            self.refresh_volumes();
        }
    }

    /// Writes anew what changed in volumes that are up.
    fn refresh_volumes(&mut self) {
        if self.state.volumes != Volumes::Up || self.state.stopping.is_some() {
            return;
        }
        let cx = self.cx.clone();
        self.tasks.spawn(async move {
            if let Err(faults) = cx.set_up_volumes().await {
                record_faults(&cx, &faults);
            }
        });
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::StartContainer { name, attempt } => self.start(name, attempt),
                Effect::CancelStart { name } => {
                    if let Some(token) = self.starts.get(&name) {
                        token.cancel();
                    }
                }
                Effect::StartProbes { name, id } => self.start_probes(&name, id),
                Effect::EndProbes { id } => {
                    self.probes.remove(&id);
                }
                Effect::Record { warning, reason, message, container } => {
                    self.cx.record(container.as_deref(), warning, reason, message);
                }
                // The writer has been told already, together with the last status.
                Effect::DeletePod => {}
                Effect::Forget => {
                    forget(&self.cx).await;
                    self.forgotten = true;
                }
                other => {
                    self.tasks.spawn(perform(self.cx.clone(), other));
                }
            }
        }
    }

    fn start(&mut self, name: String, attempt: u32) {
        let token = CancellationToken::new();
        self.starts.insert(name.clone(), token.clone());
        let cx = self.cx.clone();
        self.tasks.spawn(async move {
            let result = tokio::select! {
                result = launch::launch(&cx, &name, attempt) => result,
                () = token.cancelled() => {
                    Err(StartError { reason: "RunContainerError", message: "context canceled".into() })
                }
            };
            launch::done(&cx, &name, result);
        });
    }

    fn start_probes(&mut self, name: &str, id: String) {
        let started = self.state.member(name).is_some_and(|member| member.started);
        let Some(target) = self.cx.target(name, &id) else { return };
        self.probes.insert(id, probes::start(self.cx.clone(), target, started));
    }
}

/// Never, without a time.
async fn sleep_until(at: Option<Timestamp>) {
    match at {
        Some(at) => {
            let wait = Duration::try_from(at.duration_since(clock::now())).unwrap_or_default();
            tokio::time::sleep(wait).await;
        }
        None => std::future::pending().await,
    }
}

/// The effects that are one call to the runtime or the file system, and one answer.
async fn perform(cx: Arc<PodContext>, effect: Effect) {
    match effect {
        Effect::SetUpVolumes => set_up_volumes(&cx).await,
        Effect::TearDownVolumes => tear_down_volumes(&cx).await,
        Effect::RunSandbox { attempt } => run_sandbox(&cx, attempt).await,
        Effect::StopSandbox { id } => {
            stop_sandbox(&cx, &id).await;
            cx.set_sandbox(None);
            cx.tell(Event::SandboxDown);
        }
        Effect::RemoveSandbox { id } => logged("remove a sandbox", cx.node.runtime.remove_sandbox(&id).await),
        Effect::RemoveContainer { id } => logged("remove a container", cx.node.runtime.remove_container(&id).await),
        Effect::StopContainer { name, id, grace } => halt::halt(&cx, &name, &id, grace).await,
        other => warn!(?other, "an effect that the worker itself carries out"),
    }
}

fn logged(what: &str, result: containers::Result<()>) {
    if let Err(error) = result {
        warn!(%error, "cannot {what}");
    }
}

async fn set_up_volumes(cx: &PodContext) {
    let result = cx.set_up_volumes().await;
    let result = result.map_err(|faults| {
        record_faults(cx, &faults);
        faults.into_iter().map(|(_, fault)| fault).collect::<Vec<_>>().join(", ")
    });
    cx.tell(Event::VolumesUp(result));
}

fn record_faults(cx: &PodContext, faults: &volumes::Faults) {
    for (volume, fault) in faults {
        let message = format!("MountVolume.SetUp failed for volume \"{volume}\" : {fault}");
        cx.record(None, true, "FailedMount", message);
    }
}

async fn tear_down_volumes(cx: &PodContext) {
    let dir = cx.node.paths.pod(spec::uid(&cx.pod()));
    if let Err(error) = clock::offload(move || volumes::tear_down(&dir)).await {
        warn!(%error, pod = spec::full_name(&cx.pod()), "cannot take the volumes down");
    }
    cx.tell(Event::VolumesDown);
}

async fn run_sandbox(cx: &PodContext, attempt: u32) {
    let pod = cx.pod();
    let config = sandbox_config(&pod, attempt, &cx.node.paths, &cx.node.cluster_dns, &cx.node.host_dns);
    let result = match cx.node.runtime.run_sandbox(&config).await {
        Ok(id) => ips_of(cx, &id).await.map(|ips| (id, ips)),
        Err(error) => Err(error),
    };
    let result = result.map_err(|error| {
        let message = format!("Failed to create pod sandbox: {error}");
        cx.record(None, true, "FailedCreatePodSandBox", message);
        error.to_string()
    });
    cx.tell(Event::SandboxUp(result));
}

async fn ips_of(cx: &PodContext, id: &str) -> containers::Result<Vec<std::net::IpAddr>> {
    let sandboxes = cx.node.runtime.list_sandboxes().await?;
    let found = sandboxes.into_iter().find(|sandbox| sandbox.id == id);
    found.map(|sandbox| sandbox.ips).ok_or_else(|| containers::Error::NotFound(format!("sandbox {id}")))
}

/// Tries until it works: what still runs in a sandbox must not outlive its pod.
async fn stop_sandbox(cx: &PodContext, id: &str) {
    while let Err(error) = cx.node.runtime.stop_sandbox(id).await {
        warn!(%error, id, "cannot stop a sandbox");
        cx.record(None, true, "FailedKillPod", format!("error killing pod: failed to \"KillPodSandbox\": {error}"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Removes the pod's sandboxes with their containers, its logs and its directory.
async fn forget(cx: &PodContext) {
    let pod = cx.pod();
    match cx.node.runtime.list_sandboxes().await {
        Ok(sandboxes) => {
            for sandbox in sandboxes.iter().filter(|sandbox| sandbox.metadata.uid == spec::uid(&pod)) {
                logged("remove a sandbox", cx.node.runtime.remove_sandbox(&sandbox.id).await);
            }
        }
        Err(error) => warn!(%error, "cannot list sandboxes"),
    }
    let dirs = [cx.node.paths.pod_logs(&pod), cx.node.paths.pod(spec::uid(&pod))];
    for dir in dirs {
        if let Err(error) = std::fs::remove_dir_all(&dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(%error, dir = %dir.display(), "cannot remove a directory");
        }
    }
}
