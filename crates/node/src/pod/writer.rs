//! Writes a pod's status to the API, and deletes the pod once its last status is there.

use std::sync::Arc;
use std::time::Duration;

use control::error::{ApiErrorExt, ignore_not_found};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::warn;

use super::spec;

/// First and longest pause after a write that failed.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What the API shall hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub status: Option<PodStatus>,
    pub delete: bool,
}

/// Brings the API to what is wanted, the newest wish only, until the sender is dropped.
pub async fn write_all(client: Client, pod: Arc<Pod>, mut wanted: watch::Receiver<Wanted>) {
    let pods: Api<Pod> = Api::namespaced(client, spec::namespace(&pod));
    let mut written = pod.status.clone();
    let mut pause = RETRY.0;
    loop {
        let wish = wanted.borrow_and_update().clone();
        match write(&pods, &pod, &wish, &mut written).await {
            Ok(()) => {
                pause = RETRY.0;
                if wish.delete || wanted.changed().await.is_err() {
                    return;
                }
            }
            Err(error) if error.is_not_found() || error.is_conflict() => return,
            Err(error) => {
                warn!(%error, pod = spec::full_name(&pod), "cannot write the pod's status");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY.1);
            }
        }
    }
}

async fn write(pods: &Api<Pod>, pod: &Pod, wish: &Wanted, written: &mut Option<PodStatus>) -> Result<(), kube::Error> {
    if wish.status.is_some() && wish.status != *written {
        let body = patch(pod, wish.status.as_ref(), written.as_ref());
        pods.patch_status(spec::name(pod), &PatchParams::default(), &Patch::Strategic(body)).await?;
        written.clone_from(&wish.status);
    }
    if wish.delete {
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams::default().grace_period(0).preconditions(preconditions);
        ignore_not_found(pods.delete(spec::name(pod), &params).await)?;
    }
    Ok(())
}

/// A strategic merge patch: what a merge would leave behind is nulled or replaced.
fn patch(pod: &Pod, status: Option<&PodStatus>, before: Option<&PodStatus>) -> Value {
    let mut body = json!({ "metadata": { "uid": pod.metadata.uid }, "status": status });
    let fields = body["status"].as_object_mut().expect("a status is an object");
    for key in ["reason", "message"] {
        fields.entry(key).or_insert(Value::Null);
    }
    for condition in fields.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        for key in ["reason", "message", "lastProbeTime"] {
            condition[key] = condition[key].take();
        }
    }
    let had = before.and_then(|status| status.pod_ips.as_ref()).is_some_and(|ips| !ips.is_empty());
    let same = before.map(|status| &status.pod_ips) == status.map(|status| &status.pod_ips);
    if had
        && !same
        && let Some(ips) = fields.get_mut("podIPs").and_then(Value::as_array_mut)
    {
        ips.push(json!({ "$patch": "replace" }));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{PodCondition, PodIP};

    #[test]
    fn a_patch_leaves_nothing_stale_behind() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}})).unwrap();
        let with_ip = |ip: &str| PodStatus {
            pod_ips: Some(vec![PodIP { ip: ip.into() }]),
            conditions: Some(vec![PodCondition {
                type_: "Ready".into(),
                status: "True".into(),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        };
        let body = patch(&pod, Some(&with_ip("10.0.0.2")), Some(&with_ip("10.0.0.1")));
        assert_eq!(body["metadata"]["uid"], "u");
        assert_eq!(body["status"]["podIPs"], json!([{"ip": "10.0.0.2"}, {"$patch": "replace"}]));
        assert_eq!(
            body["status"]["conditions"][0],
            json!({"type": "Ready", "status": "True", "reason": null, "message": null, "lastProbeTime": null})
        );
        assert_eq!(body["status"]["message"], Value::Null);
        assert!(body["status"].as_object().unwrap().contains_key("message"));
    }
}
