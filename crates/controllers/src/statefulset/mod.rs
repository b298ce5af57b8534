//! Keeps pods with stable names and volumes. (upstream: pkg/controller/statefulset)

mod decide;
mod pods;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use control::error::ignore_already_exists;
use control::meta::Labels;
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, meta};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::history::{History, REVISION_LABEL, Revision, pod_revision, template_of, template_patch};
use crate::podset;
use decide::{Action, Plan, PodView, Status, View, Why, decide};

pub struct StatefulSetController {
    client: Client,
    recorder: Recorder,
    sets: Informer<StatefulSet>,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    revisions: Informer<ControllerRevision>,
}

impl StatefulSetController {
    pub fn new(shell: &Shell) -> Self {
        let pods = shell.informers.get::<Pod>();
        podset::add_indexes(&pods);
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "statefulset-controller", ""),
            sets: shell.informers.get(),
            pods,
            claims: shell.informers.get(),
            revisions: shell.informers.get(),
        }
    }

    async fn claim(&self, set: &StatefulSet, selector: &Labels) -> Result<Vec<std::sync::Arc<Pod>>, Error> {
        let mut mine = Vec::new();
        for pod in podset::candidates(&self.pods, &set.metadata) {
            let owned = meta::is_controlled_by(&pod.metadata, &set.metadata);
            let matches = selector.matches(&pod.metadata) && pods::ordinal(set, &pod).is_some();
            match (owned, matches) {
                (true, true) => mine.push(pod),
                (true, false) => podset::release(&self.client, &set.metadata, &pod).await?,
                (false, true) if !meta::is_terminating(&set.metadata) && control::pods::is_active(&pod) => {
                    podset::adopt(&self.client, set, &pod).await?;
                }
                _ => {}
            }
        }
        Ok(mine)
    }

    async fn apply(&self, set: &StatefulSet, revisions: &[Revision], action: &Action) -> Result<(), Error> {
        match action {
            Action::Create { ordinal, revision } => {
                self.make_claims(set, *ordinal).await?;
                let of = revisions.iter().find(|known| known.name == *revision).or(revisions.last());
                let template = of.map(template_of).transpose()?.unwrap_or_default();
                self.create(set, pods::new_pod(set, &template, *ordinal, revision)).await
            }
            Action::Claims { ordinal } => self.make_claims(set, *ordinal).await,
            Action::Repair { ordinal } => self.repair(set, *ordinal).await,
            Action::Delete { ordinal, why } => self.delete(set, *ordinal, *why).await,
        }
    }

    async fn create(&self, set: &StatefulSet, pod: Pod) -> Result<(), Error> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        let (name, owner) = (pod.name_any(), set.name_any());
        match ignore_already_exists(api.create(&PostParams::default(), &pod).await) {
            Ok(Some(_)) => {
                let message = format!("create Pod {name} in StatefulSet {owner} successful");
                self.recorder.normal(set, "SuccessfulCreate", message);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                let reason = crate::reason_text(&error);
                let message = format!("create Pod {name} in StatefulSet {owner} failed error: {reason}");
                self.recorder.warning(set, "FailedCreate", message);
                Err(error.into())
            }
        }
    }

    async fn make_claims(&self, set: &StatefulSet, ordinal: i32) -> Result<(), Error> {
        let namespace = set.namespace().unwrap_or_default();
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &namespace);
        for claim in pods::claims(set, ordinal) {
            let name = claim.name_any();
            match self.claims.find(&namespace, &name) {
                Some(present) if meta::is_terminating(&present.metadata) => {
                    return Err(Error::Retry(format!("claim {name} is being deleted")));
                }
                Some(_) => continue,
                None => {}
            }
            if ignore_already_exists(api.create(&PostParams::default(), &claim).await)?.is_some() {
                let (pod, owner) = (pods::pod_name(set, ordinal), set.name_any());
                let message = format!("create Claim {name} Pod {pod} in StatefulSet {owner} success");
                self.recorder.normal(set, "SuccessfulCreate", message);
            }
        }
        Ok(())
    }

    async fn repair(&self, set: &StatefulSet, ordinal: i32) -> Result<(), Error> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        let labels: std::collections::BTreeMap<_, _> = pods::identity(set, ordinal).into();
        let patch = json!({ "metadata": { "labels": labels } });
        api.patch(&pods::pod_name(set, ordinal), &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    async fn delete(&self, set: &StatefulSet, ordinal: i32, why: Why) -> Result<(), Error> {
        let (namespace, name) = (set.namespace().unwrap_or_default(), pods::pod_name(set, ordinal));
        let Some(pod) = self.pods.find(&namespace, &name) else { return Ok(()) };
        let owner = set.name_any();
        match why {
            Why::Failed => {
                let message = format!("StatefulSet {namespace}/{owner} is recreating failed Pod {name}");
                self.recorder.warning(set, "RecreatingFailedPod", message);
            }
            Why::Succeeded => {
                let message = format!("StatefulSet {namespace}/{owner} is recreating terminated Pod {name}");
                self.recorder.normal(set, "RecreatingTerminatedPod", message);
            }
            Why::Surplus | Why::Outdated => {}
        }
        let api = Api::<Pod>::namespaced(self.client.clone(), &namespace);
        control::write::delete_uid(&api, &name, meta::uid(&pod.metadata), None).await?;
        let message = format!("delete Pod {name} in StatefulSet {owner} successful");
        self.recorder.normal(set, "SuccessfulDelete", message);
        if why == Why::Surplus && pods::deletes_claims_when_scaled(set) {
            self.delete_claims(set, ordinal).await?;
        }
        Ok(())
    }

    /// The claims stay until the pod that uses them is gone: their protection finalizer sees to that.
    async fn delete_claims(&self, set: &StatefulSet, ordinal: i32) -> Result<(), Error> {
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        for claim in pods::claims(set, ordinal) {
            let deleted = api.delete(&claim.name_any(), &DeleteParams::default()).await;
            control::error::ignore_not_found(deleted)?;
        }
        Ok(())
    }

    async fn write_status(&self, set: &StatefulSet, status: &Status) -> Result<(), Error> {
        let old = set.status.clone().unwrap_or_default();
        // As the server shows them: without zeros, but for those that are available.
        let some = |count: i32| Some(count).filter(|count| *count != 0);
        let wanted = StatefulSetStatus {
            replicas: status.replicas,
            ready_replicas: some(status.ready),
            available_replicas: Some(status.available),
            current_replicas: some(status.current),
            updated_replicas: some(status.updated),
            current_revision: Some(status.current_revision.clone()),
            update_revision: Some(status.update_revision.clone()),
            observed_generation: set.metadata.generation,
            collision_count: Some(old.collision_count.unwrap_or_default()),
            conditions: old.conditions.clone(),
        };
        if wanted == old {
            return Ok(());
        }
        let api = Api::<StatefulSet>::namespaced(self.client.clone(), &set.namespace().unwrap_or_default());
        control::write::replace_status(&api, &StatefulSet { status: Some(wanted), ..set.clone() }).await?;
        Ok(())
    }
}

fn pod_view(set: &StatefulSet, pod: &std::sync::Arc<Pod>, ordinal: i32, now: Timestamp) -> PodView {
    let seconds = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default();
    PodView {
        revision: pod_revision(pod).to_owned(),
        pending: control::pods::phase(pod) == "Pending",
        finished: control::pods::is_finished(pod),
        failed: control::pods::phase(pod) == "Failed",
        ready: control::pods::is_ready(pod),
        available_in: control::pods::available_in(pod, control::pods::seconds(seconds.into()), now),
        terminating: control::pods::is_terminating(pod),
        identity_matches: pods::identity_matches(set, pod, ordinal),
    }
}

/// `revisions` end with the one of the present template.
fn view(set: &StatefulSet, pods: &[std::sync::Arc<Pod>], revisions: &[Revision], now: Timestamp) -> View {
    let spec = set.spec.clone().unwrap_or_default();
    let status = set.status.clone().unwrap_or_default();
    let update_revision = revisions.last().map(|revision| revision.name.clone()).unwrap_or_default();
    let current = status.current_revision.filter(|name| revisions.iter().any(|revision| revision.name == *name));
    let strategy = spec.update_strategy.unwrap_or_default();
    let numbered = pods.iter().filter_map(|pod| Some((pods::ordinal(set, pod)?, pod)));
    View {
        replicas: spec.replicas.unwrap_or(1),
        start: spec.ordinals.and_then(|ordinals| ordinals.start).unwrap_or_default(),
        parallel: spec.pod_management_policy.as_deref() == Some("Parallel"),
        on_delete: strategy.type_.as_deref() == Some("OnDelete"),
        partition: strategy.rolling_update.map(|rolling| rolling.partition.unwrap_or_default()),
        deleting: meta::is_terminating(&set.metadata),
        current_revision: current.unwrap_or_else(|| update_revision.clone()),
        update_revision,
        current_replicas: status.current_replicas.unwrap_or_default(),
        pods: numbered.map(|(ordinal, pod)| (ordinal, pod_view(set, pod, ordinal, now))).collect(),
    }
}

#[async_trait]
impl Controller for StatefulSetController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "statefulset"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<StatefulSet>| [ObjectKey::of(&change.object().metadata)]);
        watches.on(|change: &Change<Pod>| {
            let of = |pod: &Pod| podset::owner_key::<StatefulSet>(&pod.metadata);
            let former = change.old().and_then(|old| of(old));
            of(change.object()).into_iter().chain(former).collect::<Vec<_>>()
        });
        watches.needs(&self.claims);
        watches.needs(&self.revisions);
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(set) = self.sets.get(key) else { return Ok(Requeue::No) };
        let Some(spec) = set.spec.as_ref() else { return Ok(Requeue::No) };
        let selector = Labels::compile(Some(&spec.selector))?;
        let pods = self.claim(&set, &selector).await?;
        let history = History { client: &self.client, revisions: &self.revisions, owner: &*set };
        let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or_default();
        let data = template_patch(&spec.template)?;
        let revisions = history.sync(data, &selector, &spec.template, collisions).await?;
        let Plan { actions, status, requeue_after } = decide(&view(&set, &pods, &revisions, clock::now()));
        let mut outcome = Ok(());
        for action in &actions {
            outcome = self.apply(&set, &revisions, action).await;
            if outcome.is_err() {
                break;
            }
        }
        self.write_status(&set, &status).await?;
        outcome?;
        let mut used: Vec<&str> = pods.iter().filter_map(|pod| meta::label(&pod.metadata, REVISION_LABEL)).collect();
        used.extend([status.current_revision.as_str(), status.update_revision.as_str()]);
        let limit = spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(10);
        history.truncate(&revisions, &used, limit).await?;
        Ok(Requeue::maybe(requeue_after))
    }
}
