//! From API objects to the view of `decide`, and from its status back.

use std::sync::Arc;

use control::{Error, Informer, Round, meta, pods, scaled_value};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentSpec, DeploymentStatus, ReplicaSet, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::conditions::{Condition, Conditions};
use super::decide::{SetView, Status, Strategy, View};
use super::{DESIRED, MAX, REVISION, inherited, same_template, template_hash};

/// A deployment and its replica sets; sets are replaced by what each write answers.
pub struct Found {
    pub deployment: Arc<Deployment>,
    pub sets: Vec<Arc<ReplicaSet>>,
}

impl Found {
    /// The set `name`, which came from this very list.
    pub fn set(&self, name: &str) -> Arc<ReplicaSet> {
        let set = self.sets.iter().find(|set| set.metadata.name.as_deref() == Some(name));
        set.expect("plans name sets of their view").clone()
    }

    pub fn replace(&mut self, newer: ReplicaSet) {
        let place = self.sets.iter_mut().find(|set| set.metadata.uid == newer.metadata.uid);
        *place.expect("a patch answers with the same object") = Arc::new(newer);
    }
}

pub fn view(found: &Found, pods: &Informer<Pod>, now: Timestamp) -> Result<View, Error> {
    let deployment = &*found.deployment;
    let default = DeploymentSpec::default();
    let spec = deployment.spec.as_ref().unwrap_or(&default);
    let desired = spec.replicas.unwrap_or(1);
    Ok(View {
        name: deployment.name_any(),
        generation: deployment.metadata.generation.unwrap_or_default(),
        desired,
        paused: spec.paused.unwrap_or_default(),
        deleting: meta::is_terminating(&deployment.metadata),
        strategy: strategy(spec, desired)?,
        progress_deadline: limit(spec.progress_deadline_seconds).map(|seconds| pods::seconds(seconds.into())),
        history_limit: limit(spec.revision_history_limit).map(|limit| usize::try_from(limit).unwrap_or_default()),
        sets: found.sets.iter().map(|set| set_view(deployment, set)).collect(),
        old_pods_running: old_pods_running(found, pods),
        new_set_name: format!("{}-{}", deployment.name_any(), template_hash(deployment)),
        status: status_view(deployment.status.as_ref()),
        now,
    })
}

/// The highest number means: no limit.
fn limit(value: Option<i32>) -> Option<i32> {
    value.filter(|value| *value != i32::MAX)
}

fn strategy(spec: &DeploymentSpec, desired: i32) -> Result<Strategy, Error> {
    let strategy = spec.strategy.clone().unwrap_or_default();
    if strategy.type_.as_deref() == Some("Recreate") {
        return Ok(Strategy::Recreate);
    }
    let RollingUpdateDeployment { max_surge, max_unavailable } = strategy.rolling_update.unwrap_or_default();
    let value = |value: Option<IntOrString>, round| scaled_value(&value.unwrap_or(IntOrString::Int(0)), desired, round);
    let max_surge = value(max_surge, Round::Up)?;
    let max_unavailable = value(max_unavailable, Round::Down)?;
    // Small percentages may both round to nothing, and then no rollout could ever move.
    let max_unavailable = if max_surge == 0 && max_unavailable == 0 { 1 } else { max_unavailable };
    Ok(Strategy::RollingUpdate { max_surge, max_unavailable })
}

fn set_view(deployment: &Deployment, set: &ReplicaSet) -> SetView {
    let number = |name| meta::annotation(&set.metadata, name).and_then(|text| text.parse().ok());
    let spec = set.spec.clone().unwrap_or_default();
    let status = set.status.clone().unwrap_or_default();
    let failure = status.conditions.into_iter().flatten().find(|condition| condition.type_ == "ReplicaFailure");
    SetView {
        name: set.name_any(),
        created: meta::created_at(&set.metadata).unwrap_or_default(),
        current: same_template(set, deployment),
        wanted: spec.replicas.unwrap_or(1),
        replicas: status.replicas,
        ready: status.ready_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        terminating: status.terminating_replicas.unwrap_or_default(),
        revision: meta::annotation(&set.metadata, REVISION).and_then(|text| text.parse().ok()).unwrap_or_default(),
        noted_desired: number(DESIRED),
        noted_max: number(MAX),
        observed: status.observed_generation >= set.metadata.generation,
        deleting: meta::is_terminating(&set.metadata),
        stale: is_stale(deployment, set),
        failure: failure.map(|failure| (failure.reason.unwrap_or_default(), failure.message.unwrap_or_default())),
    }
}

fn is_stale(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let min_ready = |seconds: Option<i32>| seconds.unwrap_or_default();
    let wanted = min_ready(deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds));
    let present = min_ready(set.spec.as_ref().and_then(|spec| spec.min_ready_seconds));
    let revision = meta::annotation(&set.metadata, REVISION);
    wanted != present
        || meta::annotation(&set.metadata, DESIRED).is_none()
        || revision != meta::annotation(&deployment.metadata, REVISION)
        || inherited(deployment).iter().any(|(name, value)| meta::annotation(&set.metadata, name) != Some(value))
}

fn old_pods_running(found: &Found, pods: &Informer<Pod>) -> bool {
    let old = found.sets.iter().filter(|set| !same_template(set, &found.deployment));
    old.flat_map(|set| pods.owned_by(meta::uid(&set.metadata))).any(|pod| !pods::is_finished(&pod))
}

fn status_view(status: Option<&DeploymentStatus>) -> Status {
    let Some(status) = status else { return Status::default() };
    Status {
        observed_generation: status.observed_generation.unwrap_or_default(),
        replicas: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        unavailable: status.unavailable_replicas.unwrap_or_default(),
        terminating: status.terminating_replicas.unwrap_or_default(),
        conditions: Conditions(status.conditions.iter().flatten().map(condition_view).collect()),
    }
}

fn condition_view(condition: &DeploymentCondition) -> Condition {
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0).unwrap_or_default();
    Condition {
        type_: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
        updated: time(&condition.last_update_time),
        changed: time(&condition.last_transition_time),
    }
}

fn to_api(status: &Status, collision_count: Option<i32>) -> DeploymentStatus {
    let conditions = status.conditions.0.iter().map(|condition| DeploymentCondition {
        type_: condition.type_.clone(),
        status: condition.status.clone(),
        reason: Some(condition.reason.clone()),
        message: Some(condition.message.clone()),
        last_update_time: Some(Time(clock::to_seconds(condition.updated))),
        last_transition_time: Some(Time(clock::to_seconds(condition.changed))),
    });
    DeploymentStatus {
        observed_generation: Some(status.observed_generation),
        replicas: Some(status.replicas),
        updated_replicas: Some(status.updated),
        ready_replicas: Some(status.ready),
        available_replicas: Some(status.available),
        unavailable_replicas: Some(status.unavailable),
        terminating_replicas: Some(status.terminating),
        conditions: Some(conditions.collect()),
        collision_count,
    }
}

/// Writes the status if it differs, from the version that it was made from.
pub async fn write_status(client: &Client, deployment: &Deployment, status: &Status) -> Result<(), Error> {
    if *status == status_view(deployment.status.as_ref()) {
        return Ok(());
    }
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    // No resource version: the revision annotation may just have moved it, and the status has one writer.
    let api = Api::<Deployment>::namespaced(client.clone(), &deployment.namespace().unwrap_or_default());
    let mut value = serde_json::to_value(to_api(status, collisions))?;
    if collisions.is_none() {
        value.as_object_mut().map(|fields| fields.remove("collisionCount"));
    }
    control::write::merge_status(&api, &deployment.name_any(), None, &value).await?;
    Ok(())
}

pub async fn write_observed(client: &Client, deployment: &Deployment) -> Result<(), Error> {
    let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
    if observed == deployment.metadata.generation {
        return Ok(());
    }
    let api = Api::<Deployment>::namespaced(client.clone(), &deployment.namespace().unwrap_or_default());
    let status = json!({ "observedGeneration": deployment.metadata.generation });
    control::write::merge_status(&api, &deployment.name_any(), None, &status).await?;
    Ok(())
}

/// Tells in the status why the rollout cannot even start.
pub async fn write_create_failure(client: &Client, found: &Found, view: &View, message: &str) -> Result<(), Error> {
    let mut status = view.status.clone();
    status.conditions.set_progressing("False", "ReplicaSetCreateError", message, view.now);
    write_status(client, &found.deployment, &status).await
}
