//! What the scheduler tells the API: bindings, and why a pod is pending.

use control::Recorder;
use control::error::ApiErrorExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::pods::PodInfo;

/// How a binding ended.
pub enum Bound {
    Yes,
    /// The pod is gone or has a node already: nothing is left to do.
    Settled,
    Failed(kube::Error),
}

/// Gives the pod its node.
pub async fn bind(client: &Client, pod: &PodInfo, node: &str) -> Bound {
    let body = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let path = format!("/api/v1/namespaces/{}/pods/{}/binding", pod.namespace(), pod.name());
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(body.to_string().into_bytes()).expect("names of a pod make a valid path");
    match client.request::<serde_json::Value>(request).await {
        Ok(_) => Bound::Yes,
        Err(error) if error.is_not_found() || error.is_conflict() => Bound::Settled,
        Err(error) => Bound::Failed(error),
    }
}

/// Says in the pod's condition and by an event why it has no node.
pub async fn report_pending(client: &Client, recorder: &Recorder, pod: &PodInfo, message: &str) {
    recorder.warning(pod.pod.as_ref(), "FailedScheduling", message);
    let condition = pod.pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut known = condition.filter(|of| of.type_ == "PodScheduled" && of.status == "False");
    if known.any(|of| of.message.as_deref() == Some(message)) {
        return;
    }
    let patch = json!({"metadata": {"uid": pod.uid}, "status": {"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        "lastTransitionTime": clock::format_time(clock::now()), "lastProbeTime": null,
    }]}});
    let pods: Api<Pod> = Api::namespaced(client.clone(), pod.namespace());
    match pods.patch_status(pod.name(), &PatchParams::default(), &Patch::Strategic(patch)).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() || error.is_conflict() => {}
        Err(error) => tracing::warn!(%error, pod = pod.name(), "condition PodScheduled not written"),
    }
}
