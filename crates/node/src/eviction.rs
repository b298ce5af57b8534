//! Which pod goes when the node runs out of memory. Pure but for [`usages`].
//!
//! upstream: pkg/kubelet/eviction

use std::cmp::Reverse;
use std::sync::Arc;

use containers::{Runtime, SandboxState};
use k8s_openapi::api::core::v1::Pod;

use crate::machine::{Headroom, MEMORY_RESERVE};
use crate::pod::spec;
use crate::pod::state::Verdict;
use crate::resources::{Bound, total};

/// A pod and the bytes of memory it uses.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub pod: Arc<Pod>,
    pub usage: i64,
}

impl Candidate {
    /// Bytes beyond what the pod asked for.
    fn excess(&self) -> i64 {
        self.usage - total(&self.pod, "memory", Bound::Request) / 1000
    }
}

/// Those beyond their request before the others, then the least important, then the largest excess.
/// Pods that the node cannot do without are never chosen.
pub fn choose(candidates: &[Candidate]) -> Option<&Candidate> {
    let priority = |candidate: &Candidate| spec::spec(&candidate.pod).priority.unwrap_or(0);
    let rank = |candidate: &&Candidate| (candidate.excess() <= 0, priority(candidate), Reverse(candidate.excess()));
    candidates.iter().filter(|candidate| priority(candidate) < spec::CRITICAL_PRIORITY).min_by_key(rank)
}

/// What the evicted pod's status says.
pub fn verdict(headroom: &Headroom) -> Verdict {
    let message = format!(
        "The node was low on resource: memory. Threshold quantity: {}Mi, available: {}Ki. ",
        MEMORY_RESERVE >> 20,
        headroom.memory_available >> 10
    );
    Verdict { reason: Verdict::EVICTED.into(), message }
}

/// What each of these pods uses now; what ended meanwhile is left out.
pub async fn usages(runtime: &dyn Runtime, pods: Vec<Arc<Pod>>) -> containers::Result<Vec<Candidate>> {
    let sandboxes = runtime.list_sandboxes().await?;
    let mut candidates = Vec::new();
    for pod in pods {
        let of_pod = sandboxes.iter().find(|s| s.metadata.uid == spec::uid(&pod) && s.state == SandboxState::Ready);
        let Some(sandbox) = of_pod else { continue };
        if let Ok(usage) = runtime.sandbox_usage(&sandbox.id).await {
            let usage = i64::try_from(usage.memory_working_set).unwrap_or(i64::MAX);
            candidates.push(Candidate { pod, usage });
        }
    }
    Ok(candidates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn candidate(name: &str, priority: i32, request: &str, usage: i64) -> Candidate {
        let containers = json!([{"name": "c", "resources": {"requests": {"memory": request}}}]);
        let pod = json!({"metadata": {"name": name}, "spec": {"priority": priority, "containers": containers}});
        Candidate { pod: Arc::new(serde_json::from_value(pod).unwrap()), usage }
    }

    fn chosen(candidates: &[Candidate]) -> &str {
        choose(candidates).map(|candidate| spec::name(&candidate.pod)).unwrap_or("nobody")
    }

    #[test]
    fn whoever_takes_more_than_it_asked_for_goes_first() {
        let modest = candidate("modest", 0, "1Gi", 900 << 20);
        let greedy = candidate("greedy", 10, "10Mi", 100 << 20);
        let greedier = candidate("greedier", 10, "10Mi", 200 << 20);
        let critical = candidate("critical", 2_000_001_000, "0", 1 << 40);
        assert_eq!(chosen(&[modest.clone(), greedy.clone(), greedier.clone(), critical.clone()]), "greedier");
        assert_eq!(chosen(&[greedier, candidate("minor", 0, "0", 1)]), "minor");
        assert_eq!(chosen(&[modest, critical.clone()]), "modest");
        assert_eq!(chosen(&[critical]), "nobody");
    }
}
