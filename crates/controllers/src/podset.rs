//! What the controllers that own pods have in common: finding, making and removing them.

use std::future::Future;
use std::sync::Arc;

use control::{Change, Error, Expectations, Informer, ObjectKey, Recorder, meta};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;

/// Pods created or deleted in one reconcile. (upstream: BurstReplicas)
pub const BURST_MAX: usize = 500;

/// The index of pods that no controller manages, by namespace.
const ORPHANS: &str = "orphans";

fn orphan_index(pod: &Pod) -> Vec<String> {
    let orphan = meta::controller_of(&pod.metadata).is_none();
    orphan.then(|| pod.namespace().unwrap_or_default()).into_iter().collect()
}

/// Adds the indexes that [`candidates`] reads.
pub fn add_indexes(pods: &Informer<Pod>) {
    pods.add_index(ORPHANS, orphan_index);
}

/// The pods that the owner manages, and those that it may adopt.
pub fn candidates(pods: &Informer<Pod>, owner: &ObjectMeta) -> Vec<Arc<Pod>> {
    let mut found = pods.owned_by(meta::uid(owner));
    found.retain(|pod| meta::is_controlled_by(&pod.metadata, owner));
    found.extend(orphans(pods, owner.namespace.as_deref().unwrap_or_default()));
    found
}

/// The pods of a namespace that no controller manages.
pub fn orphans(pods: &Informer<Pod>, namespace: &str) -> Vec<Arc<Pod>> {
    pods.by_index(ORPHANS, namespace)
}

/// The key of the owner of kind `K` that manages the object.
pub fn owner_key<K: Resource<DynamicType = ()>>(meta: &ObjectMeta) -> Option<ObjectKey> {
    let owner = meta::controller_of_kind::<K>(meta)?;
    Some(ObjectKey::new(meta.namespace.as_deref().unwrap_or_default(), &owner.name))
}

/// Ticks a pod's change off the expectations of its owner of kind `K`, and names the owners, old and new,
/// that want to see it.
pub fn observe<K: Resource<DynamicType = ()>>(change: &Change<Pod>, expectations: &Expectations) -> Vec<ObjectKey> {
    let meta = &change.object().metadata;
    let owner = owner_key::<K>(meta);
    if let Some(key) = &owner {
        let newly_terminating = change.old().is_none_or(|old| !meta::is_terminating(&old.metadata));
        match change {
            Change::Added(_) => expectations.creation_observed(key),
            Change::Deleted(_) => expectations.deletion_observed(key, meta::uid(meta)),
            Change::Updated { .. } if meta::is_terminating(meta) && newly_terminating => {
                expectations.deletion_observed(key, meta::uid(meta));
            }
            Change::Updated { .. } => {}
        }
        if matches!(change, Change::Added(_)) && meta::is_terminating(meta) {
            expectations.deletion_observed(key, meta::uid(meta));
        }
    }
    let former = change.old().and_then(|old| owner_key::<K>(&old.metadata)).filter(|old| Some(old) != owner.as_ref());
    owner.into_iter().chain(former).collect()
}

/// A pod of `template` for an owner; it is named by the server, `prefix-xxxxx`.
pub fn from_template(template: &PodTemplateSpec, namespace: &str, prefix: &str, owner: OwnerReference) -> Pod {
    let given = template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        generate_name: Some(generate_prefix(prefix)),
        namespace: Some(namespace.to_owned()),
        labels: given.labels,
        annotations: given.annotations,
        finalizers: given.finalizers,
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec.clone(), status: None }
}

/// The server cuts the base so that the whole name stays within its bounds.
fn generate_prefix(owner: &str) -> String {
    format!("{owner}-")
}

/// Creates `pod` and tells so on `owner`.
pub async fn create_pod<K: Resource<DynamicType = ()>>(
    client: &Client,
    recorder: &Recorder,
    owner: &K,
    pod: &Pod,
) -> Result<Pod, kube::Error> {
    let api = Api::<Pod>::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
    let created = api.create(&PostParams::default(), pod).await;
    match &created {
        Ok(pod) => recorder.normal(owner, "SuccessfulCreate", format!("Created pod: {}", pod.name_any())),
        Err(error) => {
            recorder.warning(owner, "FailedCreate", format!("Error creating: {}", crate::reason_text(error)));
        }
    }
    created
}

/// Deletes the pod `name` if it is still the one of this uid, and tells so on `owner`.
pub async fn delete_pod<K: Resource<DynamicType = ()>>(
    client: &Client,
    recorder: &Recorder,
    owner: &K,
    name: &str,
    uid: &str,
) -> Result<(), kube::Error> {
    let namespace = owner.meta().namespace.as_deref().unwrap_or_default();
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let deleted = control::write::delete_uid(&api, name, uid, None).await;
    match &deleted {
        Ok(()) => recorder.normal(owner, "SuccessfulDelete", format!("Deleted pod: {name}")),
        Err(error) => {
            recorder.warning(owner, "FailedDelete", format!("Error deleting: {}", crate::reason_text(error)));
        }
    }
    deleted
}

/// Makes `owner` the manager of an orphan.
pub async fn adopt<K: Resource<DynamicType = ()>>(client: &Client, owner: &K, pod: &Pod) -> Result<(), Error> {
    let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
    owners.push(meta::controller_ref(owner));
    set_owners(client, pod, owners).await
}

/// Lets go of a pod whose labels no longer match.
pub async fn release(client: &Client, owner: &ObjectMeta, pod: &Pod) -> Result<(), Error> {
    let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
    owners.retain(|reference| Some(&reference.uid) != owner.uid.as_ref());
    set_owners(client, pod, owners).await
}

async fn set_owners(client: &Client, pod: &Pod, owners: Vec<OwnerReference>) -> Result<(), Error> {
    let api = Api::<Pod>::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
    let patch = json!({ "metadata": {
        "uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version, "ownerReferences": owners,
    }});
    api.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

/// Runs `action` for 0..count in batches of 1, 2, 4, … and stops after a batch with a failure, so that a
/// quota that is used up is asked once and not `count` times. Answers with the number of successes and the
/// first failure.
pub async fn slow_start<T, F>(count: usize, action: impl Fn(usize) -> F) -> (usize, Option<kube::Error>)
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let (mut done, mut batch) = (0, 1);
    while done < count {
        let size = batch.min(count - done);
        let results = join_all((done..done + size).map(&action)).await;
        let failed = results.iter().filter(|result| result.is_err()).count();
        done += size - failed;
        if let Some(error) = results.into_iter().find_map(Result::err) {
            return (done, Some(error));
        }
        batch *= 2;
    }
    (done, None)
}
