//! Pods bound a second among many nodes that are only objects.

use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::CONNECTIONS;
use crate::cluster::{Cluster, LABEL, Subject};
use crate::flags::Sizes;
use crate::load::{self, Bound};
use crate::report::{Aim, Measure};

const NAMESPACE: &str = "bench-schedule";
/// The control plane alone, with a pod range for all of its nodes.
const FLAGS: &[&str] = &["--no-agent", "--cluster-cidr", "100.64.0.0/10"];
const LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at whether all is done: a share of a list is cheap, all nodes are not.
const POD_PAUSE: Duration = Duration::from_millis(10);
const NODE_PAUSE: Duration = Duration::from_millis(500);
const PAGE: u32 = 500;

pub async fn run(subject: &Subject, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    subject.with_cluster(FLAGS, async |cluster| schedule(cluster, sizes).await).await
}

async fn schedule(cluster: &Cluster<'_>, sizes: &Sizes) -> anyhow::Result<Vec<Measure>> {
    cluster.namespace(NAMESPACE).await?;
    create(cluster, "/api/v1/nodes".to_owned(), sizes.nodes, node).await?;
    until_untainted(cluster, sizes.nodes).await?;

    // Both at once, as upstream's scheduler_perf does it: the rate is at most that of the creates.
    let started = clock::monotonic();
    create(cluster, format!("/api/v1/namespaces/{NAMESPACE}/pods"), sizes.scheduled, pod).await?;
    let created = started.elapsed();
    until_bound(cluster).await?;
    let bound = started.elapsed();
    let rate = |time: Duration| sizes.scheduled as f64 / time.as_secs_f64();
    Ok(vec![
        Measure::new(format!("schedule: pods, {} nodes", sizes.nodes), rate(bound), "a second")
            .aim(Aim::AtLeast(5_000.0)),
        Measure::new("schedule: creates of these pods, meanwhile", rate(created), "a second"),
    ])
}

async fn create(cluster: &Cluster<'_>, path: String, count: u64, object: fn(u64) -> Value) -> anyhow::Result<()> {
    let bound = Bound { requests: count, time: LIMIT };
    let request = move |target: &load::Target, index| target.post(&path, object(index).to_string());
    let made = load::run(&cluster.target, CONNECTIONS, bound, request).await?;
    ensure!(made.latencies.len() as u64 == count, "{count} objects are not made after {LIMIT:?}");
    Ok(())
}

/// A new node is tainted until it has been seen to be Ready.
async fn until_untainted(cluster: &Cluster<'_>, count: u64) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let untainted = async {
        loop {
            let listed = nodes.list(&ListParams::default().labels(LABEL)).await?;
            let tainted = |node: &Node| node.spec.as_ref().is_some_and(|spec| spec.taints.is_some());
            if listed.items.len() as u64 == count && !listed.items.iter().any(tainted) {
                return anyhow::Ok(());
            }
            sleep(NODE_PAUSE).await;
        }
    };
    tokio::time::timeout(LIMIT, untainted).await.context("nodes stay tainted")?
}

async fn until_bound(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let pending = ListParams::default().fields("spec.nodeName=");
    let bound = async {
        while !pods.list_metadata(&pending.clone().limit(1)).await?.items.is_empty() {
            sleep(POD_PAUSE).await;
        }
        anyhow::Ok(())
    };
    if let Ok(bound) = tokio::time::timeout(LIMIT, bound).await {
        return bound;
    }
    let left = pods.list_metadata(&pending.limit(PAGE)).await?;
    let more = if left.metadata.continue_.is_some() { "more than " } else { "" };
    anyhow::bail!("{more}{} pods are not bound after {LIMIT:?}", left.items.len())
}

fn node(index: u64) -> Value {
    let name = format!("bench-{index}");
    let resources = json!({"cpu": "32", "memory": "256Gi", "pods": "110"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {LABEL: "", "kubernetes.io/hostname": name}},
        "status": {
            "capacity": resources, "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Simulated"}],
        },
    })
}

/// These nodes have no heartbeat: in time they are taken for lost, which must not disturb. Nor do they end
/// pods: without grace, nothing is left to be ended.
fn pod(index: u64) -> Value {
    let requests = json!({"cpu": "100m", "memory": "128Mi"});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("pod-{index}")},
        "spec": {
            "nodeSelector": {LABEL: ""},
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "main", "image": "none", "resources": {"requests": requests}}],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_of_their_types() {
        let node: Node = serde_json::from_value(node(7)).unwrap();
        assert!(crate::cluster::is_ready(Some(&node)));
        let pod: Pod = serde_json::from_value(pod(7)).unwrap();
        assert_eq!(pod.metadata.name.as_deref(), Some("pod-7"));
    }
}
