//! Probes of running containers. There is no event for a container's health, so these do poll.
//!
//! [`tracker`] counts; this file asks and tells. upstream: pkg/kubelet/prober

mod tracker;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;
use tokio::task::AbortHandle;

use crate::handlers::{Outcome, Target, grpc_health};
use crate::pod::Event;
use crate::pod::context::PodContext;
use tracker::Tracker;

/// Ends the probes of one run of a container when dropped.
pub struct Handle(AbortHandle);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Readiness => "Readiness",
            Kind::Liveness => "Liveness",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Startup => "startup",
            Kind::Readiness => "readiness",
            Kind::Liveness => "liveness",
        }
    }
}

/// Begins to probe a container that runs; `started` tells that its startup probe passed before.
pub fn start(cx: Arc<PodContext>, target: Target, started: bool) -> Handle {
    Handle(tokio::spawn(all(cx, target, started)).abort_handle())
}

async fn all(cx: Arc<PodContext>, target: Target, started: bool) {
    let container = target.container.clone();
    if let Some(probe) = container.startup_probe.filter(|_| !started) {
        run(&cx, &target, Kind::Startup, &probe).await;
    }
    let readiness = async {
        if let Some(probe) = &container.readiness_probe {
            run(&cx, &target, Kind::Readiness, probe).await;
        }
    };
    let liveness = async {
        if let Some(probe) = &container.liveness_probe {
            run(&cx, &target, Kind::Liveness, probe).await;
        }
    };
    tokio::join!(readiness, liveness);
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.filter(|value| *value > 0).map_or(default, |value| value as u64))
}

/// Probes until the startup passed, or until the container must be killed, or for ever.
async fn run(cx: &PodContext, target: &Target, kind: Kind, probe: &Probe) {
    tokio::time::sleep(seconds(probe.initial_delay_seconds, 0)).await;
    let mut ticks = tokio::time::interval(seconds(probe.period_seconds, 10));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut tracker = Tracker::new(probe.success_threshold, probe.failure_threshold);
    let mut told = None;
    loop {
        ticks.tick().await;
        let outcome = once(target, probe).await;
        if let Err(text) = &outcome {
            let message = format!("{} probe failed: {text}", kind.title());
            cx.record(Some(&target.container.name), true, "Unhealthy", message);
        }
        let Some(healthy) = tracker.take(outcome.is_ok()) else { continue };
        let id = target.container_id.clone();
        match (kind, healthy) {
            (Kind::Startup, true) => return cx.tell(Event::StartupPassed { id }),
            (Kind::Readiness, ready) if told != Some(ready) => cx.tell(Event::Readiness { id, ready }),
            (Kind::Liveness | Kind::Startup, false) => {
                let grace = probe.termination_grace_period_seconds.map(|s| Duration::from_secs(s.max(0) as u64));
                cx.tell(Event::ProbeFailed { id, probe: kind.name(), grace });
                // The run that follows has probes of its own.
                return std::future::pending().await;
            }
            (Kind::Readiness | Kind::Liveness, _) => {}
        }
        told = Some(healthy);
    }
}

async fn once(target: &Target, probe: &Probe) -> Outcome {
    let timeout = seconds(probe.timeout_seconds, 1);
    if let Some(exec) = &probe.exec {
        return target.exec(exec.command.as_deref().unwrap_or_default(), timeout).await;
    }
    if let Some(action) = &probe.http_get {
        return target.http_get(action, "kube-probe/1.35", timeout).await;
    }
    if let Some(action) = &probe.tcp_socket {
        return target.connect(action.host.as_deref(), &action.port, timeout).await;
    }
    if let Some(action) = &probe.grpc {
        let port = u16::try_from(action.port).map_err(|_| format!("invalid port number: {}", action.port))?;
        return grpc_health(target, port, action.service.as_deref().unwrap_or_default(), timeout).await;
    }
    Ok(String::new())
}
