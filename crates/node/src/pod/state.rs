//! What a pod's worker knows: the specification from the API and the facts of this node.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, ContainerStatus, Pod};

use super::spec::{self, Kind, Restart};
use super::step::Effect;

/// First delay of a crash loop and of a failing pull, their bound, and the idle time that forgets them.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(10);
pub const BACKOFF_MAX: Duration = Duration::from_secs(300);
pub const BACKOFF_FORGET: Duration = Duration::from_secs(600);

/// Everything `step` may look at.
#[derive(Clone, Debug)]
pub struct State {
    pub pod: Arc<Pod>,
    /// When this node took the pod on.
    pub started: Timestamp,
    /// Why the pod may not run, or may not go on.
    pub verdict: Option<Verdict>,
    pub volumes: Volumes,
    pub sandbox: Sandbox,
    /// How many sandboxes there were.
    pub sandboxes: u32,
    /// Init containers first, then app containers, then ephemeral ones.
    pub members: Vec<Member>,
    /// All init containers are through; an ended one is not looked at again.
    pub initialized: bool,
    /// The containers were told to stop: when, and how long they have.
    pub stopping: Option<Stopping>,
    /// The API no longer has the pod.
    pub gone: bool,
    /// The deletion in the API was asked for.
    pub deleting: bool,
}

/// An end the node itself decided on: `OutOfcpu`, `DeadlineExceeded`, `Evicted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub reason: String,
    pub message: String,
}

impl Verdict {
    pub const EVICTED: &str = "Evicted";

    pub fn is_eviction(&self) -> bool {
        self.reason == Self::EVICTED
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    pub since: Timestamp,
    pub grace: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Volumes {
    Down,
    SettingUp {
        failures: u32,
    },
    /// The last attempt failed; the next is due then.
    Failed {
        failures: u32,
        retry_at: Timestamp,
    },
    Up,
    TearingDown,
    TornDown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sandbox {
    None,
    Starting {
        failures: u32,
    },
    Failed {
        failures: u32,
        retry_at: Timestamp,
    },
    Ready {
        id: String,
        ips: Vec<IpAddr>,
    },
    Stopping {
        id: String,
    },
    /// Kept for its containers' logs.
    Stopped {
        id: String,
    },
}

impl Sandbox {
    pub fn id(&self) -> Option<&str> {
        match self {
            Sandbox::Ready { id, .. } | Sandbox::Stopping { id } | Sandbox::Stopped { id } => Some(id),
            Sandbox::None | Sandbox::Starting { .. } | Sandbox::Failed { .. } => None,
        }
    }

    pub fn ips(&self) -> &[IpAddr] {
        match self {
            Sandbox::Ready { ips, .. } => ips,
            _ => &[],
        }
    }
}

/// A container of the pod.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub kind: Kind,
    pub restart: Restart,
    pub rules: Vec<ContainerRestartRule>,
    /// As the specification has it now, and as it had it when the present run began.
    pub image: String,
    pub image_started: String,
    pub has_startup: bool,
    pub has_readiness: bool,
    pub has_liveness: bool,
    pub phase: Phase,
    /// The run before the present one.
    pub last: Option<Ended>,
    /// How often it was started again; also the number of its next or present run.
    pub attempt: u32,
    /// Whether `attempt` was used: the next start takes the number after it.
    pub used: bool,
    pub crash: Option<CrashBackoff>,
    pub pull: Option<PullBackoff>,
    /// Not failing its readiness probe.
    pub ready: bool,
    /// Past its startup probe.
    pub started: bool,
    /// The post-start hook still runs.
    pub in_hook: bool,
    /// A stop is under way.
    pub killing: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    Waiting {
        reason: String,
        message: String,
        retry_at: Option<Timestamp>,
    },
    /// A start is under way; clients keep seeing what was before.
    Starting {
        shown: Box<Phase>,
    },
    Running(Run),
    Exited(Ended),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub id: String,
    pub image: String,
    pub image_id: String,
    pub started_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub id: String,
    pub image: String,
    pub image_id: String,
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
}

/// The delay the next crash meets, and when it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashBackoff {
    pub delay: Duration,
    pub set_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullBackoff {
    pub delay: Duration,
    pub retry_at: Timestamp,
    /// `ErrImagePull: ...`, as the waiting message repeats it.
    pub error: String,
}

/// What the runtime says of a container, in terms of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub name: String,
    pub attempt: u32,
    pub run: Observed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    Running(Run),
    Ended(Ended),
}

impl State {
    /// The state of a pod of which nothing runs yet.
    pub fn new(pod: Arc<Pod>, verdict: Option<Verdict>, now: Timestamp) -> State {
        let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map_or(now, |time| time.0);
        let mut state = State {
            started,
            verdict,
            volumes: Volumes::Down,
            sandbox: Sandbox::None,
            sandboxes: 0,
            members: Vec::new(),
            initialized: false,
            stopping: None,
            gone: false,
            deleting: false,
            pod: pod.clone(),
        };
        state.set_pod(pod);
        state
    }

    /// Takes over what an earlier agent left: the sandbox and all its containers, oldest first.
    ///
    /// Readiness comes from the API's status, so that an agent's restart takes no endpoint away.
    pub fn adopt(
        &mut self,
        sandbox: Sandbox,
        attempt: u32,
        observations: Vec<Observation>,
        scheme: &str,
    ) -> Vec<Effect> {
        self.sandbox = sandbox;
        self.sandboxes = attempt + 1;
        let mut effects = Vec::new();
        for observation in observations {
            super::step::observed(self, observation, &mut effects);
        }
        let pod = self.pod.clone();
        for member in &mut self.members {
            let Some(known) = status_of(&pod, &member.name) else { continue };
            let id = member.running().map(|run| format!("{scheme}://{}", run.id));
            if id.is_some() && known.container_id == id {
                member.ready |= known.ready;
                member.started |= known.started.unwrap_or(false);
            }
        }
        let apps_ran = self.of_kind(Kind::App).any(|member| member.phase.id().is_some());
        self.initialized = apps_ran;
        effects
    }

    /// Takes a newer specification; containers may have been added to it.
    pub fn set_pod(&mut self, pod: Arc<Pod>) {
        for (kind, container) in spec::containers(&pod) {
            match self.members.iter_mut().find(|member| member.name == container.name) {
                Some(member) => member.image = container.image.clone().unwrap_or_default(),
                None => self.members.push(Member::new(&pod, kind, &container)),
            }
        }
        self.pod = pod;
    }

    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    pub fn member_mut(&mut self, name: &str) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.name == name)
    }

    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.kind == kind)
    }

    /// Whether the containers will not run again, whatever the API says.
    pub fn terminal(&self) -> bool {
        self.verdict.is_some() || self.init_failed() || self.apps_done() || spec::ended(&self.pod)
    }

    /// An init container failed for good.
    pub fn init_failed(&self) -> bool {
        !self.initialized
            && self.of_kind(Kind::Init).any(|m| m.ended().is_some_and(|e| e.exit_code != 0 && !m.restarts(e)))
    }

    fn apps_done(&self) -> bool {
        let mut apps = self.of_kind(Kind::App).peekable();
        apps.peek().is_some() && apps.all(|member| member.ended().is_some_and(|ended| !member.restarts(ended)))
    }

    /// When something after `now` is due without any event.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.stopping.is_some() {
            return None;
        }
        let members = self.members.iter().filter_map(|member| match &member.phase {
            Phase::Waiting { retry_at, .. } => *retry_at,
            _ => None,
        });
        let volumes = match self.volumes {
            Volumes::Failed { retry_at, .. } => Some(retry_at),
            _ => None,
        };
        let sandbox = match self.sandbox {
            Sandbox::Failed { retry_at, .. } => Some(retry_at),
            _ => None,
        };
        let deadline = spec::deadline(&self.pod, self.started).filter(|_| !self.terminal());
        members.chain(volumes).chain(sandbox).chain(deadline).filter(|at| *at > now).min()
    }
}

impl Member {
    fn new(pod: &Pod, kind: Kind, container: &Container) -> Member {
        let waits_for_init =
            matches!(kind, Kind::App) && spec::spec(pod).init_containers.iter().flatten().next().is_some();
        let reason = if waits_for_init || kind == Kind::Init || kind == Kind::Sidecar {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        let known = status_of(pod, &container.name);
        Member {
            name: container.name.clone(),
            kind,
            restart: spec::container_restart(pod, kind, container),
            rules: container.restart_policy_rules.clone().unwrap_or_default(),
            image: container.image.clone().unwrap_or_default(),
            image_started: container.image.clone().unwrap_or_default(),
            has_startup: container.startup_probe.is_some(),
            has_readiness: container.readiness_probe.is_some(),
            has_liveness: container.liveness_probe.is_some(),
            phase: Phase::Waiting { reason: reason.into(), message: String::new(), retry_at: None },
            last: None,
            attempt: known.map_or(0, |status| status.restart_count.max(0) as u32),
            used: false,
            crash: None,
            pull: None,
            ready: false,
            started: false,
            in_hook: false,
            killing: false,
        }
    }

    /// How its last run ended, if it does not run now.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.phase {
            Phase::Exited(ended) => Some(ended),
            _ => None,
        }
    }

    pub fn running(&self) -> Option<&Run> {
        match &self.phase {
            Phase::Running(run) => Some(run),
            _ => None,
        }
    }

    pub fn starting(&self) -> bool {
        self.in_hook || matches!(self.phase, Phase::Starting { .. })
    }

    /// Whether it is started again after such an end.
    pub fn restarts(&self, ended: &Ended) -> bool {
        spec::restarts(self.restart, &self.rules, ended.exit_code)
    }

    /// Whether it counts as ready: running, started, and not failing its readiness probe.
    pub fn is_ready(&self) -> bool {
        match self.kind {
            Kind::Init => self.ended().is_some_and(|ended| ended.exit_code == 0),
            _ => self.running().is_some() && self.started && self.ready,
        }
    }
}

impl Phase {
    /// The container that is meant, once there is one.
    pub fn id(&self) -> Option<&str> {
        match self {
            Phase::Running(run) => Some(&run.id),
            Phase::Exited(ended) => Some(&ended.id),
            Phase::Waiting { .. } | Phase::Starting { .. } => None,
        }
    }
}

/// What the API last heard of a container.
pub fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == container)
}
