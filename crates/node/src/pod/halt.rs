//! Stopping a container: pre-stop hook, then the stop signal, then the kill, all within the grace.

use std::time::Duration;

use super::context::PodContext;
use super::launch::run_hook;
use super::observe::observe_id;
use super::spec;
use super::step::Event;

/// What is left for the signal at least after a hook took all the time.
const AFTER_HOOK_MIN: Duration = Duration::from_secs(2);
/// Between two attempts when the runtime does not stop it.
const RETRY: Duration = Duration::from_secs(1);

/// Stops a container and tells the state machine how it ended.
pub async fn halt(cx: &PodContext, name: &str, id: &str, grace: Duration) {
    let left = pre_stop(cx, name, id, grace).await;
    if let Err(error) = cx.node.runtime.stop_container(id, left).await {
        tracing::warn!(%error, id, "cannot stop a container");
        cx.record(Some(name), true, "FailedKillPod", format!("error killing container: {error}"));
        tokio::time::sleep(RETRY).await;
    }
    observe_id(cx, id, None).await;
    cx.tell(Event::StopDone { id: id.to_string() });
}

/// Runs the hook and answers how much of the grace is left.
async fn pre_stop(cx: &PodContext, name: &str, id: &str, grace: Duration) -> Duration {
    let pod = cx.pod();
    let container = spec::container(&pod, name).map(|(_, container)| container);
    let hook = container.as_ref().and_then(|container| container.lifecycle.as_ref()?.pre_stop.as_ref());
    let (Some(hook), Some(target)) = (hook, cx.target(name, id)) else { return grace };
    let begun = clock::monotonic();
    match tokio::time::timeout(grace, run_hook(&target, hook)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => cx.record(Some(name), true, "FailedPreStopHook", "PreStopHook failed".to_string()),
        Err(_) => tracing::debug!(id, "the pre-stop hook took all of the grace"),
    }
    grace.saturating_sub(begun.elapsed()).max(AFTER_HOOK_MIN)
}
