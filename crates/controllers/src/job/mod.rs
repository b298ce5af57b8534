//! Runs pods to completion. (upstream: pkg/controller/job)

mod decide;
mod indexes;
mod pods;
mod policy;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use control::error::ignore_not_found;
use control::meta::Labels;
use control::{Change, Controller, Error, Expectations, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, meta};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::podset;
use decide::{Action, End, decide};

pub use status::finished_at;

const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Jobs managed by others name their manager in `spec.managedBy`.
const MANAGER: &str = "kubernetes.io/job-controller";

pub struct JobController {
    client: Client,
    recorder: Recorder,
    jobs: Informer<Job>,
    pods: Informer<Pod>,
    expectations: Arc<Expectations>,
}

impl JobController {
    pub fn new(shell: &Shell) -> Self {
        let pods = shell.informers.get::<Pod>();
        podset::add_indexes(&pods);
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "job-controller", ""),
            jobs: shell.informers.get(),
            pods,
            expectations: Arc::default(),
        }
    }

    async fn claim(&self, job: &Job) -> Result<Vec<Arc<Pod>>, Error> {
        let selector = Labels::compile(job.spec.as_ref().and_then(|spec| spec.selector.as_ref()))?;
        let mut mine = Vec::new();
        for pod in podset::candidates(&self.pods, &job.metadata) {
            if meta::is_controlled_by(&pod.metadata, &job.metadata) {
                mine.push(pod);
            } else if selector.matches(&pod.metadata)
                && !meta::is_terminating(&job.metadata)
                && control::pods::is_active(&pod)
            {
                podset::adopt(&self.client, job, &pod).await?;
            }
        }
        Ok(mine)
    }

    /// Pods of a job that is gone would otherwise keep their finalizers for ever.
    async fn let_go(&self, key: &ObjectKey) -> Result<(), Error> {
        for pod in self.pods.in_namespace(&key.namespace) {
            if podset::owner_key::<Job>(&pod.metadata).as_ref() == Some(key) {
                self.untrack(&pod).await?;
            }
        }
        Ok(())
    }

    async fn untrack(&self, pod: &Pod) -> Result<(), Error> {
        if !meta::has_finalizer(&pod.metadata, TRACKING) {
            return Ok(());
        }
        let mut finalizers = pod.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|held| held != TRACKING);
        let patch = json!({ "metadata": {
            "uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version, "finalizers": finalizers,
        }});
        let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        ignore_not_found(api.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await)?;
        Ok(())
    }

    async fn apply(&self, key: &ObjectKey, job: &Job, actions: &[Action]) -> Result<(), Error> {
        for action in actions {
            match action {
                Action::Untrack { pod } => {
                    if let Some(pod) = self.pods.find(&key.namespace, pod) {
                        self.untrack(&pod).await?;
                    }
                }
                Action::Create { count, indexes } => self.create(key, job, *count, indexes).await?,
                Action::Delete { pod, uid } => {
                    self.expectations.expect_deletions(key, [uid.clone()]);
                    let deleted = podset::delete_pod(&self.client, &self.recorder, job, pod, uid).await;
                    if deleted.is_err() {
                        self.expectations.deletion_observed(key, uid);
                    }
                    deleted?;
                }
            }
        }
        Ok(())
    }

    async fn create(&self, key: &ObjectKey, job: &Job, count: usize, indexes: &[i32]) -> Result<(), Error> {
        self.expectations.expect_creations(key, count);
        let create = |at: usize| {
            let pod = pods::new_pod(job, indexes.get(at).copied());
            async move { podset::create_pod(&self.client, &self.recorder, job, &pod).await }
        };
        let (created, error) = podset::slow_start(count, create).await;
        (created..count).for_each(|_| self.expectations.creation_observed(key));
        error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Tells what the new status says for the first time.
    fn tell(&self, old: &Job, new: &Job) {
        for (type_, reason) in status::news(old, new) {
            match type_.as_str() {
                "Complete" => self.recorder.normal(new, "Completed", "Job completed"),
                "Failed" => self.recorder.warning(new, &reason.reason, reason.message),
                "Suspended" => self.recorder.normal(new, "Suspended", "Job suspended"),
                _ => {}
            }
        }
    }
}

#[async_trait]
impl Controller for JobController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "job"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<Job>| [ObjectKey::of(&change.object().metadata)]);
        let expectations = self.expectations.clone();
        watches.on(move |change: &Change<Pod>| podset::observe::<Job>(change, &expectations));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(job) = self.jobs.get(key) else {
            self.expectations.forget(key);
            return self.let_go(key).await.map(|()| Requeue::No);
        };
        let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
        if manager.is_some_and(|manager| manager != MANAGER) {
            return Ok(Requeue::No);
        }
        let pods = self.claim(&job).await?;
        let view = pods::view(&job, &pods, !self.expectations.satisfied(key), clock::now());
        let plan = decide(&view);
        let wanted = status::apply(&job, &plan, view.now);
        if wanted.status != job.status {
            // Counting comes first: a pod may only lose its finalizer once the server knows of it.
            let api = Api::<Job>::namespaced(self.client.clone(), &key.namespace);
            control::write::replace_status(&api, &wanted).await?;
            self.tell(&job, &wanted);
        }
        if view.end == End::Closed || plan.end != End::Closed {
            self.apply(key, &job, &plan.actions).await?;
        }
        Ok(Requeue::maybe(plan.requeue_after))
    }
}
