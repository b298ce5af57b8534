//! What a watcher knows of the pods of a namespace, and waiting for it to become so.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::time::timeout;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub running: bool,
    pub ready: bool,
}

/// By name.
pub type States = HashMap<String, State>;

pub struct Pods {
    events: Pin<Box<dyn Stream<Item = watcher::Result<Event<Pod>>> + Send>>,
    states: States,
}

impl Pods {
    /// Begins to watch; knows all pods that are there.
    pub async fn watch(client: Client, namespace: &str, limit: Duration) -> anyhow::Result<Self> {
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let mut events = watcher(pods, watcher::Config::default()).boxed();
        let mut states = States::new();
        let listed = async {
            while let Some(event) = events.next().await {
                if apply(&mut states, event?) {
                    return Ok(());
                }
            }
            bail!("the watch ended")
        };
        timeout(limit, listed).await.context("pods are not listed")??;
        Ok(Self { events, states })
    }

    /// Waits until `holds`; it may hold already.
    pub async fn until(&mut self, what: &str, limit: Duration, holds: impl Fn(&States) -> bool) -> anyhow::Result<()> {
        let waiting = async {
            while !holds(&self.states) {
                let event = self.events.next().await.context("the watch ended")?;
                apply(&mut self.states, event?);
            }
            anyhow::Ok(())
        };
        let waited = timeout(limit, waiting).await;
        waited.unwrap_or_else(|_| Err(anyhow::anyhow!("not {what} after {limit:?}: {}", summary(&self.states))))
    }
}

/// Whether the event ended a list of all.
fn apply(states: &mut States, event: Event<Pod>) -> bool {
    match event {
        Event::Init => states.clear(),
        Event::InitApply(pod) | Event::Apply(pod) => {
            states.insert(pod.metadata.name.clone().unwrap_or_default(), state(&pod));
        }
        Event::Delete(pod) => {
            states.remove(pod.metadata.name.as_deref().unwrap_or_default());
        }
        Event::InitDone => return true,
    }
    false
}

fn state(pod: &Pod) -> State {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    State {
        running: status.is_some_and(|status| status.phase.as_deref() == Some("Running")),
        ready: conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
    }
}

pub fn count_ready(states: &States) -> usize {
    states.values().filter(|state| state.ready).count()
}

fn summary(states: &States) -> String {
    let running = states.values().filter(|state| state.running).count();
    format!("{} pods, of which {running} run and {} are ready", states.len(), count_ready(states))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, phase: &str, ready: &str) -> Pod {
        let status = json!({"phase": phase, "conditions": [{"type": "Ready", "status": ready}]});
        serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap()
    }

    #[test]
    fn events_make_what_is_known() {
        let mut states = States::new();
        assert!(!apply(&mut states, Event::Init));
        apply(&mut states, Event::InitApply(pod("a", "Running", "True")));
        assert!(apply(&mut states, Event::InitDone));
        apply(&mut states, Event::Apply(pod("b", "Running", "False")));
        assert_eq!(states["b"], State { running: true, ready: false });
        assert_eq!(summary(&states), "2 pods, of which 2 run and 1 are ready");
        apply(&mut states, Event::Delete(pod("a", "Succeeded", "False")));
        assert_eq!(count_ready(&states), 0);
        apply(&mut states, Event::Init);
        assert!(states.is_empty());
    }
}
