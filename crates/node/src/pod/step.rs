//! The pod's state machine: `step(state, event, now)` takes an event in and answers what to do.
//!
//! It is pure. `absorb` writes the event into the state; then the hooks run in order, each bringing one
//! part of the pod forward or asking to wait. They look at the state alone, so a lost or repeated event
//! does no harm. upstream: pkg/kubelet/kuberuntime computePodActions, pkg/kubelet/pod_workers.go.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::spec::{self, Kind};
use super::state::*;

/// How long `ErrImagePull` shows before `ImagePullBackOff` does.
const PULL_ERROR_SHOWN: Duration = Duration::from_secs(1);
/// Between two attempts at a container whose configuration or creation fails.
const CREATE_RETRY: Duration = Duration::from_secs(10);
/// First and longest pause between attempts at volumes, and at a sandbox.
const VOLUME_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(122));
const SANDBOX_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What a container has at least when it is asked to stop.
const GRACE_MIN: Duration = Duration::from_secs(1);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A newer pod from the API.
    Pod(Arc<Pod>),
    /// The API no longer has the pod; this is its last form.
    Gone(Arc<Pod>),
    /// A timer that `State::wake_at` asked for.
    Tick,
    /// A ConfigMap, Secret or claim that the pod names came, changed or went.
    References,
    VolumesUp(Result<(), String>),
    VolumesDown,
    SandboxUp(Result<(String, Vec<IpAddr>), String>),
    SandboxDown,
    /// The sandbox died under its containers.
    SandboxLost,
    Observed(Observation),
    /// The whole start, with its hook, is through.
    StartDone {
        name: String,
        result: Result<(), StartError>,
    },
    /// A stop is through; the end itself comes as `Observed`.
    StopDone {
        id: String,
    },
    Readiness {
        id: String,
        ready: bool,
    },
    StartupPassed {
        id: String,
    },
    /// A liveness or startup probe failed as often as its threshold says.
    ProbeFailed {
        id: String,
        probe: &'static str,
        grace: Option<Duration>,
    },
    /// The node needs the pod's resources back.
    Evict(Verdict),
}

/// Why a container did not start: a waiting reason of the API, and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    pub reason: &'static str,
    pub message: String,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    SetUpVolumes,
    TearDownVolumes,
    RunSandbox {
        attempt: u32,
    },
    StopSandbox {
        id: String,
    },
    /// Removes a sandbox that another one replaces.
    RemoveSandbox {
        id: String,
    },
    /// Pull, create, start, post-start hook.
    StartContainer {
        name: String,
        attempt: u32,
    },
    /// Gives up a start that is under way.
    CancelStart {
        name: String,
    },
    /// Pre-stop hook, stop signal, kill.
    StopContainer {
        name: String,
        id: String,
        grace: Duration,
    },
    RemoveContainer {
        id: String,
    },
    StartProbes {
        name: String,
        id: String,
    },
    EndProbes {
        id: String,
    },
    Record {
        warning: bool,
        reason: &'static str,
        message: String,
        container: Option<String>,
    },
    /// Deletes the pod from the API once its last status is there.
    DeletePod,
    /// Removes everything the pod left on this node and ends the worker.
    Forget,
}

/// Whether the next hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Next,
    Wait,
}

type Hook = fn(&mut State, Timestamp, &mut Vec<Effect>) -> Flow;

/// In the order in which a pod comes up.
const HOOKS: &[Hook] = &[deadline, stop, volumes, sandbox, init_containers, app_containers, ephemeral_containers];

/// Takes `event` in and answers what is to be done now.
pub fn step(state: &mut State, event: Event, now: Timestamp) -> Vec<Effect> {
    let mut effects = Vec::new();
    absorb(state, event, now, &mut effects);
    for hook in HOOKS {
        if hook(state, now, &mut effects) == Flow::Wait {
            break;
        }
    }
    effects
}

fn absorb(state: &mut State, event: Event, now: Timestamp, effects: &mut Vec<Effect>) {
    match event {
        Event::Pod(pod) => state.set_pod(pod),
        Event::Gone(pod) => {
            state.set_pod(pod);
            state.gone = true;
        }
        Event::Tick => {}
        Event::References => retry_now(state, now),
        Event::VolumesUp(result) => volumes_up(state, result, now),
        Event::VolumesDown => state.volumes = Volumes::TornDown,
        Event::SandboxUp(result) => sandbox_up(state, result, now),
        Event::SandboxDown => sandbox_down(state, now, effects),
        Event::SandboxLost => sandbox_lost(state, effects),
        Event::Observed(observation) => observed(state, observation, effects),
        Event::StartDone { name, result } => start_done(state, &name, result, now, effects),
        Event::StopDone { id } => with_run(state, &id, |member| member.killing = false),
        Event::Readiness { id, ready } => with_run(state, &id, |member| member.ready = ready),
        Event::StartupPassed { id } => with_run(state, &id, |member| member.started = true),
        Event::ProbeFailed { id, probe, grace } => probe_failed(state, &id, probe, grace, effects),
        Event::Evict(verdict) => evict(state, verdict, effects),
    }
}

fn evict(state: &mut State, verdict: Verdict, effects: &mut Vec<Effect>) {
    if state.stopping.is_some() || state.verdict.is_some() {
        return;
    }
    let message = verdict.message.clone();
    effects.push(Effect::Record { warning: true, reason: Verdict::EVICTED, message, container: None });
    state.verdict = Some(verdict);
}

/// Makes due what waits for an object of the API.
fn retry_now(state: &mut State, now: Timestamp) {
    if let Volumes::Failed { retry_at, .. } = &mut state.volumes {
        *retry_at = now;
    }
    for member in &mut state.members {
        if let Phase::Waiting { reason, retry_at, .. } = &mut member.phase
            && reason == "CreateContainerConfigError"
        {
            *retry_at = Some(now);
        }
    }
}

fn volumes_up(state: &mut State, result: Result<(), String>, now: Timestamp) {
    let Volumes::SettingUp { failures } = state.volumes else { return };
    state.volumes = match result {
        Ok(()) => Volumes::Up,
        Err(_) => Volumes::Failed { failures: failures + 1, retry_at: now + pause(VOLUME_RETRY, failures) },
    };
}

fn sandbox_up(state: &mut State, result: Result<(String, Vec<IpAddr>), String>, now: Timestamp) {
    let Sandbox::Starting { failures } = state.sandbox else { return };
    state.sandbox = match result {
        Ok((id, ips)) => Sandbox::Ready { id, ips },
        Err(_) => Sandbox::Failed { failures: failures + 1, retry_at: now + pause(SANDBOX_RETRY, failures) },
    };
}

/// `first` doubled for each failure before this one, up to `max`.
fn pause((first, max): (Duration, Duration), failures: u32) -> Duration {
    (first * 2_u32.pow(failures.min(16))).min(max)
}

fn sandbox_down(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) {
    let Sandbox::Stopping { id } = &state.sandbox else { return };
    let id = id.clone();
    if state.stopping.is_some() {
        state.sandbox = Sandbox::Stopped { id };
    } else {
        state.sandbox = Sandbox::None;
        state.initialized = false;
        for member in &mut state.members {
            if let Some(run) = member.running().cloned() {
                exited(member, lost(run, now), effects);
            }
        }
        effects.push(Effect::RemoveSandbox { id });
    }
}

/// The end of a container that went with its sandbox.
fn lost(run: Run, now: Timestamp) -> Ended {
    Ended {
        id: run.id,
        image: run.image,
        image_id: run.image_id,
        started_at: Some(run.started_at),
        finished_at: now,
        exit_code: 137,
        reason: "ContainerStatusUnknown".into(),
        message: "The container could not be located when the pod was terminated".into(),
    }
}

fn sandbox_lost(state: &mut State, effects: &mut Vec<Effect>) {
    let Sandbox::Ready { id, .. } = &state.sandbox else { return };
    let id = id.clone();
    if state.stopping.is_none() {
        let message = "Pod sandbox changed, it will be killed and re-created.".to_string();
        effects.push(Effect::Record { warning: false, reason: "SandboxChanged", message, container: None });
    }
    effects.push(Effect::StopSandbox { id: id.clone() });
    state.sandbox = Sandbox::Stopping { id };
}

pub(super) fn observed(state: &mut State, observation: Observation, effects: &mut Vec<Effect>) {
    let Some(member) = state.member_mut(&observation.name) else { return };
    if member.used && observation.attempt < member.attempt {
        return;
    }
    (member.attempt, member.used) = (observation.attempt, true);
    match observation.run {
        Observed::Running(run) => running(member, run, effects),
        Observed::Ended(ended) => exited(member, ended, effects),
    }
}

fn running(member: &mut Member, run: Run, effects: &mut Vec<Effect>) {
    if member.phase.id() == Some(&run.id) || is_remembered(member, &run.id) {
        return;
    }
    remember(member, member.ended().cloned(), effects);
    if let Phase::Starting { .. } = &member.phase {
        member.in_hook = true;
    }
    member.killing = false;
    member.started = !member.has_startup;
    member.ready = !member.has_readiness;
    if member.has_startup || member.has_readiness || member.has_liveness {
        effects.push(Effect::StartProbes { name: member.name.clone(), id: run.id.clone() });
    }
    member.phase = Phase::Running(run);
}

/// A run is told of more than once, by its events and by who started it; what comes late is no news.
fn is_remembered(member: &Member, id: &str) -> bool {
    member.last.as_ref().is_some_and(|last| last.id == id)
}

fn exited(member: &mut Member, ended: Ended, effects: &mut Vec<Effect>) {
    if member.ended().is_some_and(|known| known.id == ended.id) || is_remembered(member, &ended.id) {
        return;
    }
    remember(member, member.ended().cloned(), effects);
    if member.running().is_some() && (member.has_startup || member.has_readiness || member.has_liveness) {
        effects.push(Effect::EndProbes { id: ended.id.clone() });
    }
    (member.started, member.ready, member.killing) = (false, false, false);
    member.phase = Phase::Exited(ended);
}

fn start_done(
    state: &mut State,
    name: &str,
    result: Result<(), StartError>,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let Some(member) = state.member_mut(name) else { return };
    member.in_hook = false;
    let Err(error) = result else {
        member.pull = None;
        return;
    };
    let text = match error.reason {
        "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName" => error.reason,
        _ => &error.message,
    };
    let message = format!("Error: {text}");
    effects.push(Effect::Record { warning: true, reason: "Failed", message, container: Some(name.to_string()) });
    if !matches!(member.phase, Phase::Starting { .. }) {
        return;
    }
    let mut retry_at = now + CREATE_RETRY;
    if error.reason == "ErrImagePull" {
        let delay = member.pull.as_ref().map_or(BACKOFF_FIRST, |pull| (pull.delay * 2).min(BACKOFF_MAX));
        let error = format!("{}: {}", error.reason, error.message);
        member.pull = Some(PullBackoff { delay, retry_at: now + delay, error });
        retry_at = now + PULL_ERROR_SHOWN;
    }
    member.phase = Phase::Waiting { reason: error.reason.into(), message: error.message, retry_at: Some(retry_at) };
}

fn with_run(state: &mut State, id: &str, change: impl FnOnce(&mut Member)) {
    let found = state.members.iter_mut().find(|member| member.running().is_some_and(|run| run.id == id));
    if let Some(member) = found {
        change(member);
    }
}

fn probe_failed(state: &mut State, id: &str, probe: &'static str, grace: Option<Duration>, effects: &mut Vec<Effect>) {
    let grace = grace.unwrap_or_else(|| spec::grace(&state.pod));
    if state.stopping.is_some() {
        return;
    }
    with_run(state, id, |member| {
        let restarts = member.restart != spec::Restart::Never;
        let ending = if restarts { ", will be restarted" } else { "" };
        let message = format!("Container {} failed {probe} probe{ending}", member.name);
        kill(member, grace, message, effects);
    });
}

/// Asks for a container's end, once.
fn kill(member: &mut Member, grace: Duration, message: String, effects: &mut Vec<Effect>) {
    let Some(run) = member.running() else { return };
    if member.killing {
        return;
    }
    let (name, id) = (member.name.clone(), run.id.clone());
    effects.push(Effect::Record { warning: false, reason: "Killing", message, container: Some(name.clone()) });
    effects.push(Effect::StopContainer { name, id, grace: grace.max(GRACE_MIN) });
    member.killing = true;
}

/// `activeDeadlineSeconds`.
fn deadline(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) -> Flow {
    let passed = spec::deadline(&state.pod, state.started).is_some_and(|at| at <= now);
    if passed && !state.terminal() && state.stopping.is_none() {
        let reason = "DeadlineExceeded";
        let message = "Pod was active on the node longer than the specified deadline".to_string();
        effects.push(Effect::Record { warning: false, reason, message: message.clone(), container: None });
        state.verdict = Some(Verdict { reason: reason.into(), message });
    }
    Flow::Next
}

/// Everything a pod goes through once it shall not run any more.
fn stop(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) -> Flow {
    let wanted = state.gone || spec::deleted(&state.pod) || state.terminal();
    if !wanted && state.stopping.is_none() {
        return Flow::Next;
    }
    begin_stopping(state, now, effects);
    if stop_containers(state, now, effects) == Flow::Next
        && stop_sandbox(state, effects) == Flow::Next
        && stop_volumes(state, effects) == Flow::Next
    {
        leave(state, effects);
    }
    Flow::Wait
}

/// Notes the stop, or a shorter grace for one that is under way.
fn begin_stopping(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) {
    let evicted = state.verdict.as_ref().is_some_and(Verdict::is_eviction);
    let grace = if evicted { GRACE_MIN } else { spec::grace(&state.pod) };
    match &mut state.stopping {
        None => {
            state.stopping = Some(Stopping { since: now, grace });
            for member in state.members.iter().filter(|member| member.starting()) {
                effects.push(Effect::CancelStart { name: member.name.clone() });
            }
        }
        Some(stopping) if grace < stopping.grace => {
            stopping.grace = grace;
            state.members.iter_mut().for_each(|member| member.killing = false);
        }
        Some(_) => {}
    }
}

/// All containers at once, then the sidecars, last one first.
fn stop_containers(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) -> Flow {
    let Some(Stopping { since, grace }) = state.stopping else { return Flow::Next };
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let left = grace.saturating_sub(passed);
    let mut waiting = state.members.iter().any(Member::starting);
    for member in state.members.iter_mut().filter(|member| member.kind != Kind::Sidecar) {
        waiting |= member.running().is_some();
        let message = format!("Stopping container {}", member.name);
        kill(member, left, message, effects);
    }
    if waiting {
        return Flow::Wait;
    }
    let last = state.members.iter_mut().rev().find(|m| m.kind == Kind::Sidecar && m.running().is_some());
    let Some(sidecar) = last else { return Flow::Next };
    let message = format!("Stopping container {}", sidecar.name);
    kill(sidecar, left, message, effects);
    Flow::Wait
}

fn stop_sandbox(state: &mut State, effects: &mut Vec<Effect>) -> Flow {
    match &state.sandbox {
        Sandbox::Starting { .. } | Sandbox::Stopping { .. } => Flow::Wait,
        Sandbox::None | Sandbox::Failed { .. } | Sandbox::Stopped { .. } => Flow::Next,
        Sandbox::Ready { id, .. } => {
            let id = id.clone();
            effects.push(Effect::StopSandbox { id: id.clone() });
            state.sandbox = Sandbox::Stopping { id };
            Flow::Wait
        }
    }
}

fn stop_volumes(state: &mut State, effects: &mut Vec<Effect>) -> Flow {
    match state.volumes {
        Volumes::SettingUp { .. } | Volumes::TearingDown => Flow::Wait,
        Volumes::TornDown => Flow::Next,
        Volumes::Down | Volumes::Failed { .. } | Volumes::Up => {
            effects.push(Effect::TearDownVolumes);
            state.volumes = Volumes::TearingDown;
            Flow::Wait
        }
    }
}

fn leave(state: &mut State, effects: &mut Vec<Effect>) {
    if state.gone {
        effects.push(Effect::Forget);
    } else if spec::deleted(&state.pod) && !state.deleting {
        state.deleting = true;
        effects.push(Effect::DeletePod);
    }
}

fn volumes(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) -> Flow {
    let failures = match state.volumes {
        Volumes::Up => return Flow::Next,
        Volumes::Down => 0,
        Volumes::Failed { retry_at, failures } if retry_at <= now => failures,
        _ => return Flow::Wait,
    };
    effects.push(Effect::SetUpVolumes);
    state.volumes = Volumes::SettingUp { failures };
    Flow::Wait
}

fn sandbox(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) -> Flow {
    let failures = match state.sandbox {
        Sandbox::Ready { .. } => return Flow::Next,
        Sandbox::None => 0,
        Sandbox::Failed { retry_at, failures } if retry_at <= now => failures,
        _ => return Flow::Wait,
    };
    effects.push(Effect::RunSandbox { attempt: state.sandboxes });
    state.sandboxes += 1;
    state.sandbox = Sandbox::Starting { failures };
    Flow::Wait
}

fn init_containers(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) -> Flow {
    let initialized = state.initialized;
    for index in 0..state.members.len() {
        let member = &state.members[index];
        let through = match member.kind {
            Kind::Init => initialized || member.ended().is_some_and(|ended| ended.exit_code == 0),
            Kind::Sidecar => member.running().is_some() && member.started && !member.in_hook,
            Kind::App | Kind::Ephemeral => continue,
        };
        if through {
            continue;
        }
        bring_up(state, index, now, effects);
        if !initialized {
            return Flow::Wait;
        }
    }
    state.initialized = true;
    Flow::Next
}

fn app_containers(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) -> Flow {
    bring_up_all(state, Kind::App, now, effects)
}

fn ephemeral_containers(state: &mut State, now: Timestamp, effects: &mut Vec<Effect>) -> Flow {
    bring_up_all(state, Kind::Ephemeral, now, effects)
}

fn bring_up_all(state: &mut State, kind: Kind, now: Timestamp, effects: &mut Vec<Effect>) -> Flow {
    for index in 0..state.members.len() {
        if state.members[index].kind == kind {
            bring_up(state, index, now, effects);
        }
    }
    Flow::Next
}

/// Starts a container that waits or ended, unless it must wait longer or another one is starting.
fn bring_up(state: &mut State, index: usize, now: Timestamp, effects: &mut Vec<Effect>) {
    let busy = state.members.iter().any(Member::starting);
    let pod = state.pod.clone();
    let member = &mut state.members[index];
    match &member.phase {
        Phase::Starting { .. } => {}
        Phase::Running(_) if member.image == member.image_started => {}
        Phase::Running(_) => {
            let message = format!("Container {} definition changed, will be restarted", member.name);
            kill(member, spec::grace(&pod), message, effects);
        }
        Phase::Waiting { retry_at: Some(at), .. } if *at > now => {}
        Phase::Waiting { .. } => {
            if !pull_backs_off(member, now, effects) && !busy {
                start(member, effects);
            }
        }
        Phase::Exited(ended) if !member.restarts(ended) => {}
        Phase::Exited(_) => {
            if !crash_backs_off(&pod, member, now, effects) && !busy {
                restart(member, now, effects);
            }
        }
    }
}

fn start(member: &mut Member, effects: &mut Vec<Effect>) {
    if member.used {
        member.attempt += 1;
        member.used = false;
    }
    member.image_started.clone_from(&member.image);
    let shown = Box::new(member.phase.clone());
    member.phase = Phase::Starting { shown };
    effects.push(Effect::StartContainer { name: member.name.clone(), attempt: member.attempt });
}

/// Starts an ended container again and lets the next crash wait twice as long.
fn restart(member: &mut Member, now: Timestamp, effects: &mut Vec<Effect>) {
    let ended = member.ended().cloned();
    let delay = match member.crash {
        Some(crash) if !forgotten(crash, ended.as_ref(), now) => (crash.delay * 2).min(BACKOFF_MAX),
        _ => BACKOFF_FIRST,
    };
    member.crash = Some(CrashBackoff { delay, set_at: now });
    remember(member, ended, effects);
    start(member, effects);
}

/// Keeps the run that ended as the last one and removes the one before it.
fn remember(member: &mut Member, ended: Option<Ended>, effects: &mut Vec<Effect>) {
    let Some(ended) = ended else { return };
    if let Some(older) = member.last.replace(ended) {
        effects.push(Effect::RemoveContainer { id: older.id });
    }
}

fn forgotten(crash: CrashBackoff, ended: Option<&Ended>, now: Timestamp) -> bool {
    let at = ended.map_or(now, |ended| ended.finished_at);
    Duration::try_from(at.duration_since(crash.set_at)).unwrap_or_default() > BACKOFF_FORGET
}

/// Puts a container that ended again too soon into `CrashLoopBackOff`.
fn crash_backs_off(pod: &Pod, member: &mut Member, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
    let (Some(crash), Some(ended)) = (member.crash, member.ended().cloned()) else { return false };
    let due = ended.finished_at + crash.delay;
    if forgotten(crash, Some(&ended), now) || due <= now {
        return false;
    }
    let name = &member.name;
    let pod_name = spec::full_name(pod);
    let message = format!("Back-off restarting failed container {name} in pod {pod_name}");
    effects.push(Effect::Record { warning: true, reason: "BackOff", message, container: Some(name.clone()) });
    let message = format!("back-off {} restarting failed container={name} pod={pod_name}", go_duration(crash.delay));
    remember(member, Some(ended), effects);
    // What comes after the pause is a restart, so the delay grows now.
    member.crash = Some(CrashBackoff { delay: (crash.delay * 2).min(BACKOFF_MAX), set_at: due });
    member.phase = Phase::Waiting { reason: "CrashLoopBackOff".into(), message, retry_at: Some(due) };
    true
}

/// Puts a container whose image could not be pulled into `ImagePullBackOff`.
fn pull_backs_off(member: &mut Member, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
    let Some(pull) = member.pull.clone().filter(|pull| pull.retry_at > now) else { return false };
    let name = Some(member.name.clone());
    let back_off = format!("Back-off pulling image \"{}\"", member.image);
    let message = format!("{back_off}: {}", pull.error);
    effects.push(Effect::Record { warning: false, reason: "BackOff", message: back_off, container: name.clone() });
    let failed = "Error: ImagePullBackOff".to_string();
    effects.push(Effect::Record { warning: true, reason: "Failed", message: failed, container: name });
    member.phase = Phase::Waiting { reason: "ImagePullBackOff".into(), message, retry_at: Some(pull.retry_at) };
    true
}

/// A whole number of seconds as Go prints a duration: `10s`, `2m40s`, `5m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
