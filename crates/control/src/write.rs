//! Writes with preconditions.

use std::fmt::Debug;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{ApiErrorExt, ignore_not_found};

/// Deletes `name` only if it still is the object of this uid; that it is gone is a success.
pub async fn delete_uid<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    propagation: Option<PropagationPolicy>,
) -> Result<(), kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
    let params = DeleteParams { preconditions, propagation_policy: propagation, ..DeleteParams::default() };
    match ignore_not_found(api.delete(name, &params).await) {
        // Another object took the name: the one we meant is gone.
        Err(error) if error.is_conflict() => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Merges `patch` into `name` if it is still the object of this uid.
pub async fn merge_uid<K>(api: &Api<K>, name: &str, uid: &str, mut patch: Value) -> Result<K, kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    patch["metadata"]["uid"] = json!(uid);
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await
}

/// Replaces the status of `object`, which must carry the resource version that the status was made from.
pub async fn replace_status<K>(api: &Api<K>, object: &K) -> Result<K, kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let name = object.meta().name.as_deref().unwrap_or_default();
    api.replace_status(name, &PostParams::default(), object).await
}

/// Merges `status` into the status of `name`, with a resource version as precondition if one is given.
pub async fn merge_status<K>(
    api: &Api<K>,
    name: &str,
    resource_version: Option<&str>,
    status: &Value,
) -> Result<K, kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut patch = json!({ "status": status });
    if let Some(version) = resource_version {
        patch["metadata"] = json!({ "resourceVersion": version });
    }
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await
}
