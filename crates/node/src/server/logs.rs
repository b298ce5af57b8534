//! `/containerLogs/NAMESPACE/POD/CONTAINER`

use std::sync::Arc;

use containers::{ContainerState, ContainerStatus, Event, Runtime};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{broadcast, mpsc, watch};

use super::query::Query;
use super::{Answer, Refusal, Server, finished, streamed};
use crate::logs::read::{Options, stream};
use crate::pod::spec;
use crate::pod::state::status_of;

/// Pieces of text that wait for a slow reader.
const BACKLOG: usize = 4;

pub async fn answer(server: &Server, namespace: &str, pod: &str, container: &str, query: &Query) -> Answer {
    let pod = server.pod(namespace, pod)?;
    if spec::container(&pod, container).is_none() {
        let name = spec::name(&pod);
        return Err(Refusal::not_found(format!("container \"{container}\" not found in pod \"{name}\"")));
    }
    let options = options(query)?;
    let runs = server.runs(&pod, container).await?;
    let run = choose(&pod, container, runs, query.flag("previous"))?;
    let (ending, ended) = watch::channel(run.state != ContainerState::Running);
    let (sender, receiver) = mpsc::channel(BACKLOG);
    if options.follow {
        tokio::spawn(tell_end(server.node.runtime.clone(), run.id.clone(), ending, sender.clone()));
    }
    tokio::spawn(async move { finished("a log", stream(run.log_path, options, ended, sender).await) });
    Ok(streamed(receiver))
}

fn options(query: &Query) -> Result<Options, Refusal> {
    let number = |name: &str| -> Result<Option<u64>, Refusal> {
        let bad = |value: &str| Refusal::bad_request(format!("invalid {name}: {value}"));
        query.get(name).map(|value| value.parse().map_err(|_| bad(value))).transpose()
    };
    let since = match (number("sinceSeconds")?, query.get("sinceTime")) {
        (Some(seconds), _) => Some(clock::now() - std::time::Duration::from_secs(seconds)),
        (None, Some(time)) => {
            Some(time.parse::<Timestamp>().map_err(|_| Refusal::bad_request(format!("invalid sinceTime: {time}")))?)
        }
        (None, None) => None,
    };
    Ok(Options {
        follow: query.flag("follow"),
        tail_lines: number("tailLines")?,
        since,
        timestamps: query.flag("timestamps"),
        limit_bytes: number("limitBytes")?,
        stream: query.get("stream").filter(|stream| *stream != "All").map(str::to_lowercase),
    })
}

/// The present run, or the one before it.
fn choose(
    pod: &Pod,
    container: &str,
    mut runs: Vec<ContainerStatus>,
    previous: bool,
) -> Result<ContainerStatus, Refusal> {
    let name = spec::name(pod);
    runs.retain(|run| run.state != ContainerState::Created);
    let last = runs.pop();
    if !previous {
        return last.ok_or_else(|| {
            let reason = waiting_reason(pod, container);
            Refusal::bad_request(format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"))
        });
    }
    // Between two runs the one that ended last is the previous one.
    let between = last.as_ref().is_some_and(|run| is_to_restart(pod, container, run));
    let before = if between { last } else { runs.pop() };
    before.ok_or_else(|| {
        Refusal::bad_request(format!("previous terminated container \"{container}\" in pod \"{name}\" not found"))
    })
}

/// Whether another run follows this one. What the API says of the container may be a moment old: it tells the end of a
/// run before it tells that the container waits for the next one.
fn is_to_restart(pod: &Pod, container: &str, run: &ContainerStatus) -> bool {
    let over = control::pods::is_finished(pod) || control::pods::is_terminating(pod);
    let restarts = spec::container(pod, container).is_some_and(|(kind, container)| {
        let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
        spec::restarts(spec::container_restart(pod, kind, &container), rules, run.exit_code)
    });
    run.state == ContainerState::Exited && restarts && !over
}

fn waiting_reason(pod: &Pod, container: &str) -> String {
    let waiting = status_of(pod, container).and_then(|status| status.state.as_ref()?.waiting.as_ref());
    waiting.and_then(|waiting| waiting.reason.clone()).unwrap_or_else(|| "ContainerCreating".into())
}

/// Turns `ending` true once the container runs no more.
async fn tell_end(
    runtime: Arc<dyn Runtime>,
    id: String,
    ending: watch::Sender<bool>,
    reader: mpsc::Sender<bytes::Bytes>,
) {
    let mut events = runtime.events();
    loop {
        let running = runtime.container_status(&id).await.is_ok_and(|status| status.state == ContainerState::Running);
        if !running {
            ending.send_replace(true);
            return;
        }
        let exited = async {
            loop {
                match events.recv().await {
                    Ok(Event::Exited { container_id, .. }) if container_id == id => return,
                    Ok(Event::Lagged) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = exited => {}
            () = reader.closed() => return,
        }
    }
}
