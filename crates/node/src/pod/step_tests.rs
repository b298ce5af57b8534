//! The state machine, told as stories: what happens, and what is done about it.

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::state::*;
use super::status::{NodeView, status};
use super::step::*;

/// A pod and its present state, with a clock that the test moves.
struct Story {
    state: State,
    now: Timestamp,
    told: String,
    runs: u32,
}

impl Story {
    fn new(spec: Value) -> Story {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec}))
        .unwrap();
        let now = Timestamp::from_second(1_000_000).unwrap();
        let state = State::new(Arc::new(pod), None, now);
        Story { state, now, told: String::new(), runs: 0 }
    }

    fn of(containers: &[&str]) -> Story {
        let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name, "image": "img"})).collect();
        Story::new(json!({"containers": containers}))
    }

    fn on(&mut self, what: &str, event: Event) -> &mut Story {
        let effects = step(&mut self.state, event, self.now);
        let effects: Vec<String> = effects.iter().map(show).collect();
        let done = if effects.is_empty() { "-".to_string() } else { effects.join("; ") };
        self.told += &format!("{what}: {done}\n");
        self
    }

    fn pod(&mut self, change: impl FnOnce(&mut Pod)) -> Arc<Pod> {
        let mut pod = (*self.state.pod).clone();
        change(&mut pod);
        Arc::new(pod)
    }

    fn begins(&mut self) -> &mut Story {
        let pod = self.state.pod.clone();
        self.on("begins", Event::Pod(pod))
    }

    fn volumes_up(&mut self) -> &mut Story {
        self.on("volumes up", Event::VolumesUp(Ok(())))
    }

    fn sandbox_up(&mut self) -> &mut Story {
        self.on("sandbox up", Event::SandboxUp(Ok(("s".into(), vec!["10.42.0.5".parse().unwrap()]))))
    }

    /// The sandbox is there and the first containers are being started.
    fn prepared(mut self) -> Story {
        self.begins().volumes_up().sandbox_up();
        self.told.clear();
        self
    }

    fn runs(&mut self, name: &str) -> &mut Story {
        self.runs += 1;
        let run = Run {
            id: format!("{name}-{}", self.runs),
            image: "img".into(),
            image_id: "sha256:1".into(),
            started_at: self.now,
        };
        let attempt = self.state.member(name).unwrap().attempt;
        self.on(
            &format!("{name} runs"),
            Event::Observed(Observation { name: name.into(), attempt, run: Observed::Running(run) }),
        );
        self.on(&format!("{name} started"), Event::StartDone { name: name.into(), result: Ok(()) })
    }

    fn ends(&mut self, name: &str, exit_code: i32) -> &mut Story {
        let member = self.state.member(name).unwrap();
        let run = member.running().unwrap().clone();
        let ended = Ended {
            id: run.id,
            image: run.image,
            image_id: run.image_id,
            started_at: Some(run.started_at),
            finished_at: self.now,
            exit_code,
            reason: if exit_code == 0 { "Completed" } else { "Error" }.into(),
            message: String::new(),
        };
        let attempt = member.attempt;
        let run = Observed::Ended(ended);
        self.on(&format!("{name} ends {exit_code}"), Event::Observed(Observation { name: name.into(), attempt, run }))
    }

    /// The end of the last run is told once more.
    fn ends_again(&mut self, name: &str) -> &mut Story {
        let member = self.state.member(name).unwrap();
        let run = Observed::Ended(member.last.clone().unwrap());
        let observation = Observation { name: name.into(), attempt: member.attempt, run };
        self.on(&format!("{name} ends again"), Event::Observed(observation))
    }

    fn fails(&mut self, name: &str, reason: &'static str, message: &str) -> &mut Story {
        let error = StartError { reason, message: message.into() };
        self.on(&format!("{name} fails"), Event::StartDone { name: name.into(), result: Err(error) })
    }

    /// Lets time pass to the instant that the state asked for.
    fn waits(&mut self) -> &mut Story {
        let at = self.state.wake_at(self.now).expect("something is due");
        let passed = Duration::try_from(at.duration_since(self.now)).unwrap();
        self.now = at;
        self.on(&format!("{}s pass", passed.as_secs_f64()), Event::Tick)
    }

    fn deleted(&mut self, grace: i64) -> &mut Story {
        let pod = self.pod(|pod| {
            pod.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
            pod.metadata.deletion_grace_period_seconds = Some(grace);
        });
        self.on("deleted", Event::Pod(pod))
    }

    fn status(&self, told: Option<&PodStatus>) -> PodStatus {
        let node = NodeView { ip: "10.0.0.1".parse().unwrap(), scheme: "keelson".into() };
        status(&self.state, told, &node, self.now)
    }

    /// Phase, conditions that do not hold, and each container.
    fn looks(&mut self) -> &mut Story {
        let status = self.status(None);
        let open = status.conditions.iter().flatten().filter(|condition| condition.status != "True");
        let open: Vec<String> =
            open.map(|c| format!("{} {}", c.type_, c.message.clone().unwrap_or_default())).collect();
        self.told += &format!("= {}", status.phase.unwrap());
        if let Some(reason) = status.reason {
            self.told += &format!(" {reason}");
        }
        for condition in open {
            self.told += &format!(", not {}", condition.trim());
        }
        self.told += "\n";
        for c in status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten()) {
            let state = c.state.clone().unwrap();
            let state = match (state.waiting, state.running, state.terminated) {
                (Some(w), ..) => format!("{} {}", w.reason.unwrap(), w.message.unwrap_or_default()).trim().to_string(),
                (_, Some(_), _) => "running".to_string(),
                (.., Some(t)) => format!("ended {}", t.exit_code),
                _ => "?".to_string(),
            };
            let last = c.last_state.clone().and_then(|last| last.terminated);
            let last = last.map(|t| format!(", last {}", t.exit_code)).unwrap_or_default();
            let ready = if c.ready { ", ready" } else { "" };
            self.told += &format!("  {}#{} {state}{last}{ready}\n", c.name, c.restart_count);
        }
        self
    }

    fn check(&mut self, expected: Expect) -> &mut Story {
        expected.assert_eq(&self.told);
        self.told.clear();
        self
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::SetUpVolumes => "set up volumes".into(),
        Effect::TearDownVolumes => "tear down volumes".into(),
        Effect::RunSandbox { attempt } => format!("run sandbox #{attempt}"),
        Effect::StopSandbox { id } => format!("stop sandbox {id}"),
        Effect::RemoveSandbox { id } => format!("remove sandbox {id}"),
        Effect::StartContainer { name, attempt } => format!("start {name}#{attempt}"),
        Effect::CancelStart { name } => format!("cancel {name}"),
        Effect::StopContainer { id, grace, .. } => format!("stop {id} in {}s", grace.as_secs()),
        Effect::RemoveContainer { id } => format!("remove {id}"),
        Effect::StartProbes { id, .. } => format!("probe {id}"),
        Effect::EndProbes { id } => format!("end probes of {id}"),
        Effect::Record { reason, message, .. } => format!("[{reason}] {message}"),
        Effect::DeletePod => "delete the pod".into(),
        Effect::Forget => "forget".into(),
    }
}

#[test]
fn a_pod_comes_up_and_one_container_after_the_other_starts() {
    Story::of(&["a", "b"]).looks().begins().volumes_up().sandbox_up().looks().runs("a").runs("b").looks().check(expect![[r#"
        = Pending, not PodReadyToStartContainers, not Ready containers with unready status: [a b], not ContainersReady containers with unready status: [a b]
          a#0 ContainerCreating
          b#0 ContainerCreating
        begins: set up volumes
        volumes up: run sandbox #0
        sandbox up: start a#0
        = Pending, not Ready containers with unready status: [a b], not ContainersReady containers with unready status: [a b]
          a#0 ContainerCreating
          b#0 ContainerCreating
        a runs: -
        a started: start b#0
        b runs: -
        b started: -
        = Running
          a#0 running, ready
          b#0 running, ready
    "#]]);
}

#[test]
fn a_crashing_container_restarts_at_once_then_later_and_later() {
    let mut story = Story::of(&["a"]).prepared();
    story.runs("a").ends("a", 1).looks().runs("a").looks();
    story.ends("a", 1).looks().waits().runs("a").ends("a", 2).looks().waits().check(expect![[r#"
        a runs: -
        a started: -
        a ends 1: start a#1
        = Running, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#0 ended 1
        a runs: -
        a started: -
        = Running
          a#1 running, last 1, ready
        a ends 1: [BackOff] Back-off restarting failed container a in pod p_n(u); remove a-1
        = Running, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#1 CrashLoopBackOff back-off 10s restarting failed container=a pod=p_n(u), last 1
        10s pass: start a#2
        a runs: -
        a started: -
        a ends 2: [BackOff] Back-off restarting failed container a in pod p_n(u); remove a-2
        = Running, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#2 CrashLoopBackOff back-off 20s restarting failed container=a pod=p_n(u), last 2
        20s pass: start a#3
    "#]]);
}

#[test]
fn an_end_that_is_told_twice_counts_once() {
    let mut story = Story::of(&["a"]).prepared();
    story.runs("a").ends("a", 1).runs("a").ends("a", 1).ends_again("a").looks();
    story.check(expect![[r#"
        a runs: -
        a started: -
        a ends 1: start a#1
        a runs: -
        a started: -
        a ends 1: [BackOff] Back-off restarting failed container a in pod p_n(u); remove a-1
        a ends again: -
        = Running, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#1 CrashLoopBackOff back-off 10s restarting failed container=a pod=p_n(u), last 1
    "#]]);
}

#[test]
fn the_crash_delay_is_bounded_and_forgotten_after_ten_good_minutes() {
    let mut story = Story::of(&["a"]).prepared();
    for _ in 0..9 {
        story.runs("a").ends("a", 1);
        if story.state.wake_at(story.now).is_some() {
            story.waits();
        }
    }
    story.told.clear();
    story.runs("a").ends("a", 1).looks();
    assert!(story.told.contains("back-off 5m0s restarting"), "{}", story.told);
    story.waits().runs("a");
    story.now += Duration::from_secs(601);
    story.told.clear();
    story.ends("a", 1);
    assert!(story.told.contains("start a#"), "{}", story.told);
}

#[test]
fn an_image_that_cannot_be_pulled_backs_off() {
    let mut story = Story::of(&["a"]).prepared();
    story.fails("a", "ErrImagePull", "no such host").looks().waits().looks().waits().check(expect![[r#"
        a fails: [Failed] Error: ErrImagePull
        = Pending, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#0 ErrImagePull no such host
        1s pass: [BackOff] Back-off pulling image "img"; [Failed] Error: ImagePullBackOff
        = Pending, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#0 ImagePullBackOff Back-off pulling image "img": ErrImagePull: no such host
        9s pass: start a#0
    "#]]);
}

#[test]
fn a_missing_config_map_is_waited_for() {
    let mut story = Story::of(&["a"]).prepared();
    story.fails("a", "CreateContainerConfigError", "configmap \"x\" not found").looks();
    story.on("it comes", Event::References).check(expect![[r#"
        a fails: [Failed] Error: configmap "x" not found
        = Pending, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#0 CreateContainerConfigError configmap "x" not found
        it comes: start a#0
    "#]]);
}

#[test]
fn volumes_that_fail_are_tried_again_later_or_when_something_comes() {
    let mut story = Story::of(&["a"]);
    story.begins().on("they fail", Event::VolumesUp(Err("x".into()))).waits();
    story.on("they fail", Event::VolumesUp(Err("x".into()))).on("it comes", Event::References).volumes_up();
    story.check(expect![[r#"
        begins: set up volumes
        they fail: -
        0.5s pass: set up volumes
        they fail: -
        it comes: set up volumes
        volumes up: run sandbox #0
    "#]]);
}

#[test]
fn init_containers_run_one_by_one_before_the_others() {
    let spec = json!({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]});
    let mut story = Story::new(spec).prepared();
    story
        .looks()
        .runs("i")
        .ends("i", 1)
        .runs("i")
        .ends("i", 0)
        .runs("j")
        .looks()
        .ends("j", 0)
        .looks()
        .runs("a")
        .looks();
    story.check(expect![[r#"
        = Pending, not Initialized containers with incomplete status: [i j], not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          i#0 PodInitializing
          j#0 PodInitializing
          a#0 PodInitializing
        i runs: -
        i started: -
        i ends 1: start i#1
        i runs: -
        i started: -
        i ends 0: start j#0
        j runs: -
        j started: -
        = Pending, not Initialized containers with incomplete status: [j], not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          i#1 ended 0, last 1, ready
          j#0 running
          a#0 PodInitializing
        j ends 0: start a#0
        = Pending, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          i#1 ended 0, last 1, ready
          j#0 ended 0, ready
          a#0 ContainerCreating
        a runs: -
        a started: -
        = Running
          i#1 ended 0, last 1, ready
          j#0 ended 0, ready
          a#0 running, ready
    "#]]);
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let spec = json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]});
    let mut story = Story::new(spec).prepared();
    story.runs("i").ends("i", 3).looks().check(expect![[r#"
        i runs: -
        i started: -
        i ends 3: stop sandbox s
        = Failed, not PodReadyToStartContainers, not Initialized containers with incomplete status: [i], not Ready, not ContainersReady
          i#0 ended 3
          a#0 PodInitializing
    "#]]);
}

#[test]
fn a_sidecar_starts_first_and_stops_last() {
    let spec = json!({"restartPolicy": "Never",
        "initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "a"}]});
    let mut story = Story::new(spec).prepared();
    story.runs("s").runs("a").looks().ends("a", 0).looks().ends("s", 143).looks().check(expect![[r#"
        s runs: -
        s started: start a#0
        a runs: -
        a started: -
        = Running
          s#0 running, ready
          a#0 running, ready
        a ends 0: [Killing] Stopping container s; stop s-1 in 30s
        = Running, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          s#0 running, ready
          a#0 ended 0
        s ends 143: stop sandbox s
        = Succeeded, not PodReadyToStartContainers, not Ready, not ContainersReady
          s#0 ended 143
          a#0 ended 0
    "#]]);
}

#[test]
fn a_finished_job_keeps_its_containers_until_it_is_deleted() {
    let mut story = Story::new(json!({"restartPolicy": "OnFailure", "containers": [{"name": "a"}]})).prepared();
    story.runs("a").ends("a", 1).runs("a").ends("a", 0);
    story.on("sandbox down", Event::SandboxDown).on("volumes down", Event::VolumesDown).looks().deleted(0);
    let last = story.state.pod.clone();
    story.on("gone", Event::Gone(last)).check(expect![[r#"
        a runs: -
        a started: -
        a ends 1: start a#1
        a runs: -
        a started: -
        a ends 0: stop sandbox s
        sandbox down: tear down volumes
        volumes down: -
        = Succeeded, not PodReadyToStartContainers, not Ready, not ContainersReady
          a#1 ended 0, last 1
        deleted: delete the pod
        gone: forget
    "#]]);
}

#[test]
fn a_deleted_pod_stops_everything_at_once_and_leaves_the_api_last() {
    let mut story = Story::of(&["a", "b"]).prepared();
    story.runs("a").runs("b").deleted(5).ends("a", 0).looks().ends("b", 137);
    story.on("sandbox down", Event::SandboxDown).on("volumes down", Event::VolumesDown).looks();
    let last = story.state.pod.clone();
    story.on("gone", Event::Gone(last)).check(expect![[r#"
        a runs: -
        a started: start b#0
        b runs: -
        b started: -
        deleted: [Killing] Stopping container a; stop a-1 in 5s; [Killing] Stopping container b; stop b-2 in 5s
        a ends 0: -
        = Running, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#0 ended 0
          b#0 running, ready
        b ends 137: stop sandbox s
        sandbox down: tear down volumes
        volumes down: delete the pod
        = Failed, not PodReadyToStartContainers, not Ready, not ContainersReady
          a#0 ended 0
          b#0 ended 137
        gone: forget
    "#]]);
}

#[test]
fn a_shorter_grace_is_passed_on() {
    let mut story = Story::of(&["a"]).prepared();
    story.runs("a").deleted(30);
    story.told.clear();
    story.deleted(1).check(expect![[r#"
        deleted: [Killing] Stopping container a; stop a-1 in 1s
    "#]]);
}

#[test]
fn a_pod_deleted_while_it_starts_waits_for_the_start_to_end() {
    let mut story = Story::of(&["a"]).prepared();
    story.deleted(5).fails("a", "ErrImagePull", "context canceled").on("sandbox down", Event::SandboxDown);
    story.check(expect![[r#"
        deleted: cancel a
        a fails: [Failed] Error: ErrImagePull; stop sandbox s
        sandbox down: tear down volumes
    "#]]);
}

#[test]
fn a_failing_liveness_probe_restarts_the_container() {
    let probe = json!({"httpGet": {"port": 80}});
    let spec = json!({"containers": [{"name": "a", "livenessProbe": probe, "readinessProbe": probe}]});
    let mut story = Story::new(spec).prepared();
    story.runs("a").looks().on("ready", Event::Readiness { id: "a-1".into(), ready: true }).looks();
    story.on("ill", Event::ProbeFailed { id: "a-1".into(), probe: "liveness", grace: None });
    story.on("ill", Event::ProbeFailed { id: "a-1".into(), probe: "liveness", grace: None }).ends("a", 137);
    story.check(expect![[r#"
        a runs: probe a-1
        a started: -
        = Running, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#0 running
        ready: -
        = Running
          a#0 running, ready
        ill: [Killing] Container a failed liveness probe, will be restarted; stop a-1 in 30s
        ill: -
        a ends 137: end probes of a-1; start a#1
    "#]]);
}

#[test]
fn a_startup_probe_holds_readiness_back() {
    let spec = json!({"containers": [{"name": "a", "startupProbe": {"exec": {"command": ["x"]}}}]});
    let mut story = Story::new(spec).prepared();
    story.runs("a").looks().on("passed", Event::StartupPassed { id: "a-1".into() }).looks().check(expect![[r#"
        a runs: probe a-1
        a started: -
        = Running, not Ready containers with unready status: [a], not ContainersReady containers with unready status: [a]
          a#0 running
        passed: -
        = Running
          a#0 running, ready
    "#]]);
}

#[test]
fn the_active_deadline_ends_a_pod() {
    let mut story = Story::new(json!({"activeDeadlineSeconds": 60, "containers": [{"name": "a"}]})).prepared();
    story.runs("a").waits().looks().ends("a", 143).looks().check(expect![[r#"
        a runs: -
        a started: -
        60s pass: [DeadlineExceeded] Pod was active on the node longer than the specified deadline; [Killing] Stopping container a; stop a-1 in 30s
        = Running DeadlineExceeded
          a#0 running, ready
        a ends 143: stop sandbox s
        = Failed DeadlineExceeded, not PodReadyToStartContainers, not Ready, not ContainersReady
          a#0 ended 143
    "#]]);
}

#[test]
fn an_evicted_pod_stops_at_once_and_fails() {
    let mut story = Story::of(&["a"]).prepared();
    let verdict = Verdict { reason: Verdict::EVICTED.into(), message: "low on memory".into() };
    story.runs("a").on("evicted", Event::Evict(verdict)).ends("a", 137).looks().check(expect![[r#"
        a runs: -
        a started: -
        evicted: [Evicted] low on memory; [Killing] Stopping container a; stop a-1 in 1s
        a ends 137: stop sandbox s
        = Failed Evicted, not PodReadyToStartContainers, not Ready, not ContainersReady
          a#0 ended 137
    "#]]);
}

#[test]
fn a_refused_pod_fails_without_containers() {
    let mut story = Story::of(&["a"]);
    story.state.verdict = Some(Verdict { reason: "OutOfcpu".into(), message: "no room".into() });
    story.begins().on("volumes down", Event::VolumesDown).looks().check(expect![[r#"
        begins: tear down volumes
        volumes down: -
        = Failed OutOfcpu, not PodReadyToStartContainers, not Ready, not ContainersReady
    "#]]);
}

#[test]
fn a_lost_sandbox_is_made_again() {
    let mut story = Story::of(&["a"]).prepared();
    story.runs("a").on("lost", Event::SandboxLost).on("sandbox down", Event::SandboxDown).sandbox_up().check(expect![
        [r#"
        a runs: -
        a started: -
        lost: [SandboxChanged] Pod sandbox changed, it will be killed and re-created.; stop sandbox s
        sandbox down: remove sandbox s; run sandbox #1
        sandbox up: start a#1
    "#]
    ]);
}

#[test]
fn a_new_image_restarts_the_container() {
    let mut story = Story::of(&["a"]).prepared();
    story.runs("a");
    let pod = story.pod(|pod| pod.spec.as_mut().unwrap().containers[0].image = Some("img:2".into()));
    story.on("new image", Event::Pod(pod)).ends("a", 143).check(expect![[r#"
        a runs: -
        a started: -
        new image: [Killing] Container a definition changed, will be restarted; stop a-1 in 30s
        a ends 143: start a#1
    "#]]);
}

#[test]
fn what_an_earlier_agent_left_is_adopted() {
    let probe = json!({"httpGet": {"port": 80}});
    let mut story =
        Story::new(json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a", "readinessProbe": probe}]}));
    let pod = story.pod(|pod| {
        let status = json!({"containerStatuses": [{"name": "a", "image": "", "imageID": "", "ready": true,
            "restartCount": 2, "containerID": "keelson://a-7", "started": true}]});
        pod.status = Some(serde_json::from_value(status).unwrap());
    });
    story.state = State::new(pod, None, story.now);
    let run = Run { id: "a-7".into(), image: "img".into(), image_id: "x".into(), started_at: story.now };
    let observation = Observation { name: "a".into(), attempt: 2, run: Observed::Running(run) };
    let sandbox = Sandbox::Ready { id: "s".into(), ips: vec!["10.42.0.5".parse().unwrap()] };
    let effects = story.state.adopt(sandbox, 0, vec![observation], "keelson");
    assert_eq!(effects.iter().map(show).collect::<Vec<_>>(), ["probe a-7"]);
    story.begins().volumes_up().looks().check(expect![[r#"
        begins: set up volumes
        volumes up: -
        = Running
          i#0 ended 0, ready
          a#2 running, ready
    "#]]);
}

#[test]
fn an_older_status_that_comes_back_moves_no_times() {
    let mut story = Story::new(json!({"containers": [{"name": "a"}]}));
    let told = story.status(None);
    let mut older = told.clone();
    for condition in older.conditions.iter_mut().flatten() {
        condition.last_transition_time = Some(Time(Timestamp::UNIX_EPOCH));
    }
    story.state.pod = story.pod(|pod| pod.status = Some(older));
    story.now += Duration::from_secs(10);
    assert_eq!(story.status(Some(&told)), told);
}
