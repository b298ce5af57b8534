//! The pod status that the API shall show, from what the worker knows. Pure.
//!
//! upstream: pkg/kubelet/kubelet_pods.go, pkg/kubelet/status/generate.go

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::spec::{self, Kind};
use super::state::{Ended, Member, Phase, Sandbox, State, status_of};
use crate::resources;

/// What the status says about the node.
#[derive(Clone, Debug)]
pub struct NodeView {
    pub ip: IpAddr,
    /// The runtime's name, before `://` in container ids.
    pub scheme: String,
}

/// The phases of a pod that the node decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl PodPhase {
    pub fn name(self) -> &'static str {
        match self {
            PodPhase::Pending => "Pending",
            PodPhase::Running => "Running",
            PodPhase::Succeeded => "Succeeded",
            PodPhase::Failed => "Failed",
        }
    }
}

/// The whole status; conditions that others own are carried over from the pod.
///
/// `told` is what this function answered last. A condition that holds since then keeps its time: the API may
/// still show an earlier telling, and two of them would chase each other for ever.
pub fn status(state: &State, told: Option<&PodStatus>, node: &NodeView, now: Timestamp) -> PodStatus {
    let pod = &*state.pod;
    if let Some(last) = last_status(state) {
        return last;
    }
    let phase = phase(state);
    let ips = pod_ips(state, node);
    let mut status = PodStatus {
        phase: Some(phase.name().into()),
        reason: state.verdict.as_ref().map(|verdict| verdict.reason.clone()),
        message: state.verdict.as_ref().map(|verdict| verdict.message.clone()),
        observed_generation: pod.metadata.generation,
        qos_class: Some(resources::qos(pod).name().into()),
        start_time: Some(Time(state.started)),
        host_ip: Some(node.ip.to_string()),
        host_ips: Some(vec![HostIP { ip: node.ip.to_string() }]),
        pod_ip: ips.first().map(ToString::to_string),
        pod_ips: (!ips.is_empty()).then(|| ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        conditions: Some(conditions(state, told, phase, now)),
        ..PodStatus::default()
    };
    if !rejected(state) {
        status.init_container_statuses = statuses(state, node, &[Kind::Init, Kind::Sidecar]);
        status.container_statuses = statuses(state, node, &[Kind::App]);
        status.ephemeral_container_statuses = statuses(state, node, &[Kind::Ephemeral]);
    }
    status
}

/// What ended is not told again: an agent that starts knows less of it than the API does.
fn last_status(state: &State) -> Option<PodStatus> {
    let live = state.members.iter().any(|member| member.running().is_some() || member.starting());
    let known = state.pod.status.as_ref().filter(|_| spec::ended(&state.pod) && !live)?;
    Some(PodStatus { observed_generation: state.pod.metadata.generation, ..known.clone() })
}

/// The node refused the pod before anything of it was made.
fn rejected(state: &State) -> bool {
    state.verdict.is_some() && state.sandboxes == 0
}

fn pod_ips(state: &State, node: &NodeView) -> Vec<IpAddr> {
    let ready = matches!(state.sandbox, Sandbox::Ready { .. });
    match state.sandbox.ips() {
        [] if ready && spec::host_network(&state.pod) => vec![node.ip],
        [] => known_ips(&state.pod),
        ips => ips.to_vec(),
    }
}

/// An ended pod keeps the addresses it had.
fn known_ips(pod: &Pod) -> Vec<IpAddr> {
    let status = pod.status.as_ref();
    let ips = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten();
    ips.filter_map(|ip| ip.ip.parse().ok()).collect()
}

/// How many containers are in which part of their lives.
#[derive(Default)]
struct Tally {
    waiting: usize,
    running: usize,
    stopped: usize,
    succeeded: usize,
}

/// The pod's phase, as upstream derives it from its containers.
pub fn phase(state: &State) -> PodPhase {
    if let Some(ended) = ended_phase(&state.pod) {
        return ended;
    }
    let live = state.members.iter().any(|member| member.running().is_some() || member.starting());
    if state.verdict.is_some() {
        return if live && state.sandboxes > 0 { before(state) } else { PodPhase::Failed };
    }
    if state.init_failed() {
        return if live { PodPhase::Pending } else { PodPhase::Failed };
    }
    let tally = tally(state);
    let stopping = state.stopping.is_some();
    match tally {
        _ if stopping && !live => end_phase(&tally),
        _ if !state.initialized => PodPhase::Pending,
        Tally { waiting: 1.., .. } => PodPhase::Pending,
        Tally { running: 1.., .. } => PodPhase::Running,
        _ if state.members.iter().any(|member| member.kind == Kind::Sidecar && member.running().is_some()) => {
            PodPhase::Running
        }
        Tally { stopped, .. } if stopped > 0 && !state.terminal() => PodPhase::Running,
        Tally { stopped, succeeded, .. } if stopped == succeeded => PodPhase::Succeeded,
        _ => PodPhase::Failed,
    }
}

/// A phase that the API holds as the last one never changes again.
fn ended_phase(pod: &Pod) -> Option<PodPhase> {
    match pod.status.as_ref()?.phase.as_deref()? {
        "Succeeded" => Some(PodPhase::Succeeded),
        "Failed" => Some(PodPhase::Failed),
        _ => None,
    }
}

/// The phase of a pod that was stopped and of which nothing runs any more.
fn end_phase(tally: &Tally) -> PodPhase {
    match tally {
        Tally { waiting: 0, running: 0, stopped, succeeded } if stopped == succeeded => PodPhase::Succeeded,
        _ => PodPhase::Failed,
    }
}

fn before(state: &State) -> PodPhase {
    if state.initialized { PodPhase::Running } else { PodPhase::Pending }
}

fn tally(state: &State) -> Tally {
    let mut tally = Tally::default();
    for member in state.of_kind(Kind::App) {
        match shown(&member.phase) {
            Phase::Running(_) => tally.running += 1,
            Phase::Exited(ended) => tally.count_end(ended),
            _ => match &member.last {
                Some(ended) => tally.count_end(ended),
                None => tally.waiting += 1,
            },
        }
    }
    tally
}

impl Tally {
    fn count_end(&mut self, ended: &Ended) {
        self.stopped += 1;
        self.succeeded += usize::from(ended.exit_code == 0);
    }
}

/// What clients see of a phase: of a start that is under way, what was before.
fn shown(phase: &Phase) -> &Phase {
    match phase {
        Phase::Starting { shown } => shown,
        phase => phase,
    }
}

fn statuses(state: &State, node: &NodeView, kinds: &[Kind]) -> Option<Vec<ContainerStatus>> {
    let members = state.members.iter().filter(|member| kinds.contains(&member.kind));
    let statuses: Vec<ContainerStatus> = members.map(|member| container_status(state, member, node)).collect();
    (!statuses.is_empty()).then_some(statuses)
}

fn container_status(state: &State, member: &Member, node: &NodeView) -> ContainerStatus {
    if member.kind == Kind::Init && state.initialized && matches!(member.phase, Phase::Waiting { .. }) {
        return forgotten_init(state, member);
    }
    let phase = shown(&member.phase);
    // A start keeps its number until it made a container, and clients count only those.
    let count = if matches!(member.phase, Phase::Starting { .. }) && !member.used {
        member.attempt.saturating_sub(u32::from(member.last.is_some() || member.attempt > 0))
    } else {
        member.attempt
    };
    let mut status = ContainerStatus {
        name: member.name.clone(),
        image: member.image.clone(),
        ready: member.is_ready(),
        started: Some(member.running().is_some() && member.started),
        restart_count: count as i32,
        state: Some(container_state(state, phase, node)),
        last_state: Some(last_state(member, node)),
        ..ContainerStatus::default()
    };
    let latest = match phase {
        Phase::Running(run) => Some((&run.id, &run.image, &run.image_id)),
        Phase::Exited(ended) => Some((&ended.id, &ended.image, &ended.image_id)),
        _ => member.last.as_ref().map(|ended| (&ended.id, &ended.image, &ended.image_id)),
    };
    if let Some((id, image, image_id)) = latest {
        status.container_id = Some(format!("{}://{id}", node.scheme));
        status.image.clone_from(image);
        status.image_id.clone_from(image_id);
    } else if let Some(known) = status_of(&state.pod, &member.name).filter(|known| known.container_id.is_some()) {
        status.container_id.clone_from(&known.container_id);
        status.image_id.clone_from(&known.image_id);
        if spec::ended(&state.pod) || known.last_state.is_some() {
            status.last_state.clone_from(&known.last_state);
        }
    }
    if member.kind == Kind::Init {
        status.started = Some(member.running().is_some());
    }
    status
}

/// An init container whose run is no longer known, in a pod that is past it.
fn forgotten_init(state: &State, member: &Member) -> ContainerStatus {
    if let Some(known) = status_of(&state.pod, &member.name) {
        return known.clone();
    }
    let message = "Unable to get init container status from container runtime and pod has been initialized, \
                   treat it as exited normally";
    let terminated = ContainerStateTerminated {
        reason: Some("Completed".into()),
        message: Some(message.into()),
        ..ContainerStateTerminated::default()
    };
    ContainerStatus {
        name: member.name.clone(),
        image: member.image.clone(),
        ready: true,
        state: Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() }),
        ..ContainerStatus::default()
    }
}

fn container_state(state: &State, phase: &Phase, node: &NodeView) -> ContainerState {
    match phase {
        Phase::Running(run) => ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(Time(whole(run.started_at))) }),
            ..ContainerState::default()
        },
        Phase::Exited(ended) => {
            ContainerState { terminated: Some(terminated(ended, node)), ..ContainerState::default() }
        }
        Phase::Waiting { .. } if torn_down(state) => never_located(),
        Phase::Waiting { reason, message, .. } => ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: Some(waiting_reason(state, reason).into()),
                message: Some(message.clone()).filter(|message| !message.is_empty()),
            }),
            ..ContainerState::default()
        },
        Phase::Starting { shown } => container_state(state, shown, node),
    }
}

/// Once init is through, what has not started yet is being created.
fn waiting_reason<'a>(state: &State, reason: &'a str) -> &'a str {
    if reason == "PodInitializing" && state.initialized { "ContainerCreating" } else { reason }
}

/// The pod was stopped and nothing of it can start any more.
fn torn_down(state: &State) -> bool {
    state.stopping.is_some()
        && state.initialized
        && !matches!(state.sandbox, Sandbox::Starting { .. } | Sandbox::Ready { .. })
}

fn never_located() -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".into()),
        message: Some("The container could not be located when the pod was terminated".into()),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn last_state(member: &Member, node: &NodeView) -> ContainerState {
    // A start after an end still shows that end as the present state.
    let terminated = member.last.as_ref().filter(|last| shown(&member.phase) != &Phase::Exited((*last).clone()));
    ContainerState { terminated: terminated.map(|ended| self::terminated(ended, node)), ..ContainerState::default() }
}

fn terminated(ended: &Ended, node: &NodeView) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: Some(format!("{}://{}", node.scheme, ended.id)),
        exit_code: ended.exit_code,
        signal: None,
        reason: Some(ended.reason.clone()).filter(|reason| !reason.is_empty()),
        message: Some(ended.message.clone()).filter(|message| !message.is_empty()),
        started_at: ended.started_at.map(|at| Time(whole(at))),
        finished_at: Some(Time(whole(ended.finished_at))),
    }
}

/// `metav1.Time` has whole seconds; keeping fractions would make every status look changed.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A condition's type, and why it does not hold.
type Finding = Result<Option<&'static str>, (&'static str, String)>;

fn conditions(state: &State, told: Option<&PodStatus>, phase: PodPhase, now: Timestamp) -> Vec<PodCondition> {
    let pod = &state.pod;
    let old = conditions_of(told.or(pod.status.as_ref()));
    let condition = |kind: &str, finding| PodCondition {
        observed_generation: pod.metadata.generation,
        ..condition(old, kind, finding, now)
    };
    let containers = containers_ready(state, phase);
    let ready = ready(pod, &containers);
    let has_network = matches!(state.sandbox, Sandbox::Ready { .. });
    let network: Finding = if has_network { Ok(None) } else { Err(("", String::new())) };
    let ours = [
        ("PodReadyToStartContainers", network),
        ("Initialized", initialized(state, phase)),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", Ok(None)),
    ];
    let mut conditions: Vec<PodCondition> = ours.into_iter().map(|(kind, finding)| condition(kind, finding)).collect();
    if let Some(verdict) = state.verdict.as_ref().filter(|verdict| verdict.is_eviction()) {
        let mut target = condition("DisruptionTarget", Ok(Some("TerminationByKubelet")));
        target.message = Some(verdict.message.clone());
        conditions.push(target);
    }
    let names: Vec<String> = conditions.iter().map(|condition| condition.type_.clone()).collect();
    let others = conditions_of(pod.status.as_ref()).iter().filter(|condition| !names.contains(&condition.type_));
    conditions.extend(others.cloned());
    conditions
}

fn conditions_of(status: Option<&PodStatus>) -> &[PodCondition] {
    status.and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

fn condition(old: &[PodCondition], kind: &str, finding: Finding, now: Timestamp) -> PodCondition {
    let status = if finding.is_ok() { "True" } else { "False" };
    let (reason, message) = match finding {
        Ok(reason) => (reason.unwrap_or_default(), String::new()),
        Err((reason, message)) => (reason, message),
    };
    let since = old.iter().find(|old| old.type_ == kind && old.status == status);
    PodCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.to_string()).filter(|reason| !reason.is_empty()),
        message: Some(message).filter(|message| !message.is_empty()),
        last_probe_time: None,
        last_transition_time: since.and_then(|old| old.last_transition_time.clone()).or(Some(Time(whole(now)))),
        observed_generation: None,
    }
}

fn initialized(state: &State, phase: PodPhase) -> Finding {
    if phase == PodPhase::Succeeded {
        return Ok(Some("PodCompleted"));
    }
    let open = |member: &&Member| match member.kind {
        Kind::Init => !member.is_ready(),
        _ => !(member.running().is_some() && member.started),
    };
    let init = state.members.iter().filter(|member| matches!(member.kind, Kind::Init | Kind::Sidecar));
    let incomplete: Vec<&str> = init.filter(open).map(|member| member.name.as_str()).collect();
    if incomplete.is_empty() || state.initialized {
        return Ok(None);
    }
    Err(("ContainersNotInitialized", format!("containers with incomplete status: [{}]", incomplete.join(" "))))
}

fn containers_ready(state: &State, phase: PodPhase) -> Finding {
    match phase {
        PodPhase::Succeeded => return Err(("PodCompleted", String::new())),
        PodPhase::Failed => return Err(("PodFailed", String::new())),
        _ => {}
    }
    let counted = state.members.iter().filter(|member| matches!(member.kind, Kind::App | Kind::Sidecar));
    let unready: Vec<&str> = counted.filter(|member| !member.is_ready()).map(|member| member.name.as_str()).collect();
    if unready.is_empty() {
        return Ok(None);
    }
    Err(("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))))
}

/// Containers first, then the pod's readiness gates.
fn ready(pod: &Pod, containers: &Finding) -> Finding {
    if containers.is_err() {
        return containers.clone();
    }
    let conditions = conditions_of(pod.status.as_ref());
    let mut faults = Vec::new();
    for gate in spec::spec(pod).readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match conditions.iter().find(|condition| condition.type_ == *kind) {
            None => faults.push(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(found) if found.status != "True" => {
                let status = &found.status;
                faults.push(format!("the status of pod readiness gate \"{kind}\" is not \"True\", but {status}"));
            }
            Some(_) => {}
        }
    }
    if faults.is_empty() { Ok(None) } else { Err(("ReadinessGatesNotReady", faults.join(", "))) }
}
