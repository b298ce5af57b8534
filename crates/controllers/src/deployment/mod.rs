//! Rolls deployments out through replica sets.

mod conditions;
mod decide;
mod proportional;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use control::error::{ApiErrorExt, ignore_already_exists};
use control::meta::Labels;
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, hash, meta};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tracing::info;

use decide::{Action, View, decide, max_total};
use view::Found;

pub(crate) const HASH_LABEL: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";

pub struct DeploymentController {
    client: Client,
    recorder: Recorder,
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
}

impl DeploymentController {
    pub fn new(shell: &Shell) -> Self {
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "deployment-controller", ""),
            deployments: shell.informers.get(),
            sets: shell.informers.get(),
            pods: shell.informers.get(),
        }
    }

    fn api(&self, key: &ObjectKey) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    /// The deployment's replica sets, after adopting and releasing.
    async fn claim(
        &self,
        key: &ObjectKey,
        owner: &Deployment,
        selector: &Labels,
    ) -> Result<Vec<Arc<ReplicaSet>>, Error> {
        let mut mine = Vec::new();
        for set in self.sets.in_namespace(&key.namespace) {
            let owned = meta::is_controlled_by(&set.metadata, &owner.metadata);
            let matches = selector.matches(&set.metadata);
            let orphan = meta::controller_of(&set.metadata).is_none() && !meta::is_terminating(&set.metadata);
            match (owned, matches) {
                (true, true) => mine.push(set),
                (true, false) if !meta::is_terminating(&owner.metadata) => self.release(key, owner, &set).await?,
                (false, true) if orphan && !meta::is_terminating(&owner.metadata) => {
                    mine.push(Arc::new(self.adopt(key, owner, &set).await?));
                }
                _ => {}
            }
        }
        Ok(mine)
    }

    async fn adopt(&self, key: &ObjectKey, owner: &Deployment, set: &ReplicaSet) -> Result<ReplicaSet, Error> {
        let fresh = Api::<Deployment>::namespaced(self.client.clone(), &key.namespace).get(&key.name).await?;
        if fresh.metadata.uid != owner.metadata.uid || meta::is_terminating(&fresh.metadata) {
            return Err(Error::Retry(format!("{key} was deleted or replaced, it adopts nothing")));
        }
        let mut owners = set.metadata.owner_references.clone().unwrap_or_default();
        owners.push(meta::controller_ref(owner));
        self.merge(key, set, json!({ "metadata": { "ownerReferences": owners } })).await
    }

    async fn release(&self, key: &ObjectKey, owner: &Deployment, set: &ReplicaSet) -> Result<(), Error> {
        let mut owners = set.metadata.owner_references.clone().unwrap_or_default();
        owners.retain(|reference| Some(&reference.uid) != owner.metadata.uid.as_ref());
        self.merge(key, set, json!({ "metadata": { "ownerReferences": owners } })).await.map(|_| ())
    }

    /// Merges `patch` into `set` unless it changed since it was read.
    async fn merge(
        &self,
        key: &ObjectKey,
        set: &ReplicaSet,
        mut patch: serde_json::Value,
    ) -> Result<ReplicaSet, Error> {
        patch["metadata"]["uid"] = json!(set.metadata.uid);
        patch["metadata"]["resourceVersion"] = json!(set.metadata.resource_version);
        Ok(self.api(key).patch(&set.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await?)
    }

    async fn apply(&self, key: &ObjectKey, found: &mut Found, view: &View, action: &Action) -> Result<(), Error> {
        match action {
            Action::Create { replicas, revision } => self.create(key, found, view, *replicas, *revision).await,
            Action::Refresh { set, revision } => self.refresh(key, found, view, set, *revision).await,
            Action::Scale { set, from, to } => self.scale(key, found, view, set, *from, *to).await,
            Action::Delete { set } => {
                let set = found.set(set);
                info!(deployment = %key, set = set.name_any(), "deleting an old replica set");
                let background = Some(PropagationPolicy::Background);
                let uid = meta::uid(&set.metadata);
                Ok(control::write::delete_uid(&self.api(key), &set.name_any(), uid, background).await?)
            }
        }
    }

    async fn create(
        &self,
        key: &ObjectKey,
        found: &Found,
        view: &View,
        replicas: i32,
        revision: i64,
    ) -> Result<(), Error> {
        let set = new_set(&found.deployment, view, replicas, revision);
        let created = ignore_already_exists(self.api(key).create(&PostParams::default(), &set).await);
        match created {
            Ok(Some(_)) => {
                if replicas > 0 {
                    self.tell_scaled(&found.deployment, &view.new_set_name, 0, replicas);
                }
                self.note_revision(&found.deployment, revision).await
            }
            Ok(None) => self.resolve_collision(key, found, &view.new_set_name).await,
            Err(error) => {
                let message =
                    format!("Failed to create new replica set {:?}: {}", set.name_any(), crate::reason_text(&error));
                self.recorder.warning(&*found.deployment, "ReplicaSetCreateError", message.clone());
                if view.progress_deadline.is_some() && !error.is_namespace_terminating() {
                    view::write_create_failure(&self.client, found, view, &message).await?;
                }
                Err(error.into())
            }
        }
    }

    /// The name of the new set is taken: either it is ours and the cache is behind, or the hash collides
    /// with another template's and the next try uses another.
    async fn resolve_collision(&self, key: &ObjectKey, found: &Found, name: &str) -> Result<(), Error> {
        let deployment = &found.deployment;
        let other = self.api(key).get(name).await?;
        let ours = meta::is_controlled_by(&other.metadata, &deployment.metadata);
        if ours && same_template(&other, deployment) {
            return Ok(());
        }
        let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or_default() + 1;
        let api = Api::<Deployment>::namespaced(self.client.clone(), &key.namespace);
        let version = deployment.metadata.resource_version.as_deref();
        control::write::merge_status(&api, &key.name, version, &json!({ "collisionCount": collisions })).await?;
        info!(deployment = %key, name, collisions, "template hash collision");
        Err(Error::Retry(format!("replica set {name:?} belongs to another template")))
    }

    async fn refresh(
        &self,
        key: &ObjectKey,
        found: &mut Found,
        view: &View,
        name: &str,
        revision: i64,
    ) -> Result<(), Error> {
        let set = found.set(name);
        let mut annotations = inherited(&found.deployment);
        annotations.extend(revision_annotations(&set, revision));
        if meta::annotation(&set.metadata, DESIRED).is_none() {
            annotations.extend(size_annotations(view));
        }
        let min_ready = found.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default();
        let patch = json!({ "metadata": { "annotations": annotations }, "spec": { "minReadySeconds": min_ready } });
        let patched = self.merge(key, &set, patch).await?;
        found.replace(patched);
        self.note_revision(&found.deployment, revision).await
    }

    async fn scale(
        &self,
        key: &ObjectKey,
        found: &mut Found,
        view: &View,
        name: &str,
        from: i32,
        to: i32,
    ) -> Result<(), Error> {
        let annotations: BTreeMap<_, _> = size_annotations(view).into();
        let patch = json!({ "metadata": { "annotations": annotations }, "spec": { "replicas": to } });
        let patched = self.merge(key, &found.set(name), patch).await?;
        found.replace(patched);
        if from != to {
            self.tell_scaled(&found.deployment, name, from, to);
        }
        Ok(())
    }

    fn tell_scaled(&self, deployment: &Deployment, set: &str, from: i32, to: i32) {
        let direction = if from < to { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {set} from {from} to {to}");
        self.recorder.normal(deployment, "ScalingReplicaSet", message);
    }

    /// The deployment carries the revision of its current set.
    async fn note_revision(&self, deployment: &Deployment, revision: i64) -> Result<(), Error> {
        let revision = revision.to_string();
        if meta::annotation(&deployment.metadata, REVISION) == Some(&revision) {
            return Ok(());
        }
        let namespace = deployment.namespace().unwrap_or_default();
        let api = Api::<Deployment>::namespaced(self.client.clone(), &namespace);
        let patch = json!({ "metadata": { "annotations": { REVISION: revision } } });
        control::write::merge_uid(&api, &deployment.name_any(), meta::uid(&deployment.metadata), patch).await?;
        Ok(())
    }
}

/// Whether the set was made from the deployment's present template.
fn same_template(set: &ReplicaSet, deployment: &Deployment) -> bool {
    let of_set = set.spec.as_ref().and_then(|spec| spec.template.clone()).map(without_hash);
    let of_deployment = deployment.spec.as_ref().map(|spec| without_hash(spec.template.clone()));
    of_set == of_deployment
}

fn without_hash(mut template: PodTemplateSpec) -> PodTemplateSpec {
    let meta = template.metadata.get_or_insert_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(HASH_LABEL);
    }
    meta.labels = meta.labels.take().filter(|labels| !labels.is_empty());
    meta.annotations = meta.annotations.take().filter(|annotations| !annotations.is_empty());
    meta.creation_timestamp = None;
    template
}

fn template_hash(deployment: &Deployment) -> String {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    hash::object_hash(&deployment.spec.as_ref().map(|spec| &spec.template), collisions)
}

/// The deployment's annotations that its sets carry too.
fn inherited(deployment: &Deployment) -> BTreeMap<String, String> {
    const OWN: [&str; 6] = [
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED,
        MAX,
        "deprecated.deployment.rollback.to",
    ];
    let mut annotations = deployment.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|name, _| !OWN.contains(&name.as_str()));
    annotations
}

fn size_annotations(view: &View) -> [(String, String); 2] {
    [(DESIRED.to_owned(), view.desired.to_string()), (MAX.to_owned(), max_total(view).to_string())]
}

/// A set that becomes current again keeps the revisions it had in its history.
fn revision_annotations(set: &ReplicaSet, revision: i64) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([(REVISION.to_owned(), revision.to_string())]);
    let old = meta::annotation(&set.metadata, REVISION).filter(|old| **old != revision.to_string());
    if let Some(old) = old {
        let history = meta::annotation(&set.metadata, REVISION_HISTORY).filter(|history| !history.is_empty());
        let history = history.map_or_else(|| old.to_owned(), |history| format!("{history},{old}"));
        annotations.insert(REVISION_HISTORY.to_owned(), history);
    }
    annotations
}

fn new_set(deployment: &Deployment, view: &View, replicas: i32, revision: i64) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let hash = template_hash(deployment);
    let mut template = spec.template;
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut pairs = spec.selector.match_labels.unwrap_or_default();
    pairs.insert(HASH_LABEL.to_owned(), hash);
    let mut annotations = inherited(deployment);
    annotations.insert(REVISION.to_owned(), revision.to_string());
    annotations.extend(size_annotations(view));
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(view.new_set_name.clone()),
            namespace: deployment.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![meta::controller_ref(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector { match_labels: Some(pairs), match_expressions: spec.selector.match_expressions },
            template: Some(template),
        }),
        status: None,
    }
}

#[async_trait]
impl Controller for DeploymentController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "deployment"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<Deployment>| [ObjectKey::of(&change.object().metadata)]);
        let deployments = self.deployments.clone();
        watches.on(move |change: &Change<ReplicaSet>| interested(&deployments, change));
        let (deployments, sets) = (self.deployments.clone(), self.sets.clone());
        watches.on(move |change: &Change<Pod>| waiting_for_the_last_pod(&deployments, &sets, change));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(deployment) = self.deployments.get(key) else { return Ok(Requeue::No) };
        let selector = Labels::compile(deployment.spec.as_ref().map(|spec| &spec.selector))?;
        if selector.selects_all() {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            self.recorder.warning(&*deployment, "SelectingAll", message);
            return view::write_observed(&self.client, &deployment).await.map(|()| Requeue::No);
        }
        let sets = self.claim(key, &deployment, &selector).await?;
        let mut found = Found { deployment, sets };
        let view = view::view(&found, &self.pods, clock::now())?;
        let plan = decide(&view);
        for action in &plan.actions {
            self.apply(key, &mut found, &view, action).await?;
        }
        view::write_status(&self.client, &found.deployment, &plan.status).await?;
        Ok(Requeue::maybe(plan.requeue_after))
    }
}

/// The deployment that manages a set, before or after its change, or those that may adopt it.
fn interested(deployments: &Informer<Deployment>, change: &Change<ReplicaSet>) -> Vec<ObjectKey> {
    use crate::podset::owner_key;
    let set = change.object();
    let owner = owner_key::<Deployment>(&set.metadata);
    let former = change.old().and_then(|old| owner_key::<Deployment>(&old.metadata));
    let mut keys: Vec<ObjectKey> = owner.into_iter().chain(former).collect();
    keys.dedup();
    if meta::controller_of(&set.metadata).is_none() && !change.is_deletion() {
        let near = deployments.in_namespace(set.metadata.namespace.as_deref().unwrap_or_default());
        let matching = near.into_iter().filter(|deployment| {
            let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
            Labels::compile(selector).is_ok_and(|selector| selector.matches(&set.metadata))
        });
        keys.extend(matching.map(|deployment| ObjectKey::of(&deployment.metadata)));
    }
    keys
}

/// A deployment of strategy Recreate goes on when the last old pod is gone.
fn waiting_for_the_last_pod(
    deployments: &Informer<Deployment>,
    sets: &Informer<ReplicaSet>,
    change: &Change<Pod>,
) -> Option<ObjectKey> {
    let pod = change.object();
    if !change.is_deletion() && !control::pods::is_finished(pod) {
        return None;
    }
    let set = sets.get(&crate::podset::owner_key::<ReplicaSet>(&pod.metadata)?)?;
    let deployment = deployments.get(&crate::podset::owner_key::<Deployment>(&set.metadata)?)?;
    let strategy = deployment.spec.as_ref()?.strategy.as_ref()?;
    (strategy.type_.as_deref() == Some("Recreate")).then(|| ObjectKey::of(&deployment.metadata))
}
