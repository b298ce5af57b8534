//! The HorizontalPodAutoscaler controller: keeps targets at the size that their metrics ask for.
//!
//! An autoscaler is looked at when it appears or its spec changes, and every 15 seconds from then on.

mod calculate;
mod conditions;
mod decide;
mod history;
mod limits;
mod metric;
mod pods;
mod target;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::error::ApiErrorExt;
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches};
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, Resource};
use machinery::selector::LabelSelector;
use parking_lot::Mutex;
use tracing::info;

use crate::sampler::{Readings, ResourceMetrics};
use decide::{Plan, Rescale, View, decide, needs_metrics};
use history::History;
use target::{Target, Targets};

/// (upstream: --horizontal-pod-autoscaler-sync-period)
const SYNC_PERIOD: Duration = Duration::from_secs(15);

/// Autoscalers looked at at once. (upstream: --concurrent-horizontal-pod-autoscaler-syncs)
const WORKERS: usize = 5;

/// Runs the autoscalers until the shell is shut down. Its client needs upstream's rights of the
/// `horizontal-pod-autoscaler` controller.
pub async fn run(shell: Shell, metrics: Arc<dyn ResourceMetrics>) {
    let controller = Autoscaler {
        client: shell.client(),
        recorder: Recorder::new(shell.client(), "horizontal-pod-autoscaler", ""),
        scalers: shell.informers.get(),
        pods: shell.informers.get(),
        metrics,
        targets: Targets::new(shell.client()),
        memory: Mutex::default(),
    };
    shell.run(controller, WORKERS).await;
}

/// What is remembered of an autoscaler between two looks.
#[derive(Default)]
struct Memory {
    history: History,
    /// What its target selects.
    selector: Option<LabelSelector>,
}

struct Autoscaler {
    client: Client,
    recorder: Recorder,
    scalers: Informer<HorizontalPodAutoscaler>,
    pods: Informer<Pod>,
    metrics: Arc<dyn ResourceMetrics>,
    targets: Targets,
    memory: Mutex<HashMap<ObjectKey, Memory>>,
}

#[async_trait]
impl Controller for Autoscaler {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "horizontalpodautoscaler"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<HorizontalPodAutoscaler>| {
            // Its own writes of the status would keep it busy for ever.
            let same = change.old().is_some_and(|old| old.spec == change.object().spec);
            (!same).then(|| ObjectKey::of(change.object().meta()))
        });
        watches.needs(&self.pods);
    }

    /// Never fails: a failure is in the status and the events, and the next look comes at its time.
    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(scaler) = self.scalers.get(key) else {
            self.memory.lock().remove(key);
            return Ok(Requeue::No);
        };
        let Some(spec) = &scaler.spec else { return Ok(Requeue::No) };
        let mut status = scaler.status.clone().unwrap_or_default();
        match self.targets.find(&key.namespace, &spec.scale_target_ref).await {
            Ok(target) => status = self.sync(Subject { key, scaler: &scaler, spec }, target).await,
            Err(error) => {
                self.recorder.warning(&*scaler, "FailedGetScale", error.to_string());
                decide::without_scale(&mut status, &error.to_string(), clock::now());
            }
        }
        if let Err(error) = self.write_status(&scaler, status).await {
            self.recorder.warning(&*scaler, "FailedUpdateStatus", Error::from(error).to_string());
        }
        Ok(Requeue::After(SYNC_PERIOD))
    }
}

/// The autoscaler that is looked at.
#[derive(Clone, Copy)]
struct Subject<'a> {
    key: &'a ObjectKey,
    scaler: &'a HorizontalPodAutoscaler,
    spec: &'a HorizontalPodAutoscalerSpec,
}

impl Autoscaler {
    /// Brings the target to the size it should have and gives the status that tells of it.
    async fn sync(&self, subject: Subject<'_>, mut target: Target) -> HorizontalPodAutoscalerStatus {
        let readings = match needs_metrics(subject.spec, target.replicas()) {
            true => self.metrics.readings().await,
            false => Arc::default(),
        };
        let mut plan = self.plan(subject, &target, &readings);
        for (reason, message) in &plan.events {
            self.recorder.warning(subject.scaler, reason, message);
        }
        if let Some(rescale) = plan.rescale.clone() {
            let result = self.rescale(subject, &mut target, &rescale).await;
            let before = subject.scaler.status.as_ref().map_or(0, |status| status.desired_replicas);
            decide::rescaled(&mut plan, before, result, clock::now());
        }
        plan.status
    }

    fn plan(&self, Subject { key, scaler, spec }: Subject, target: &Target, readings: &Readings) -> Plan {
        let now = clock::now();
        let mut all = self.memory.lock();
        let rivals = rivals(&all, key);
        let memory = all.entry(key.clone()).or_default();
        memory.selector = LabelSelector::parse(target.selector()).ok();
        memory.history.start(target.replicas(), now);
        let view = View {
            key,
            spec,
            status: scaler.status.clone().unwrap_or_default(),
            replicas: target.replicas(),
            selector: target.selector(),
            pods: &self.pods.in_namespace(&key.namespace),
            rivals: &rivals,
            readings,
            now,
        };
        let plan = decide(&view, &memory.history);
        if let Some(recommendation) = plan.recommendation {
            memory.history.recommend(recommendation, now);
        }
        plan
    }

    /// Gives the error's text if the target could not be resized.
    async fn rescale(&self, subject: Subject<'_>, target: &mut Target, rescale: &Rescale) -> Result<(), String> {
        let Rescale { from, to, reason } = rescale;
        let Err(error) = target.resize(*to).await else {
            info!(from, to, reason, "rescaled");
            self.recorder.normal(subject.scaler, "SuccessfulRescale", format!("New size: {to}; reason: {reason}"));
            let mut all = self.memory.lock();
            all.entry(subject.key.clone()).or_default().history.rescale(*from, *to, clock::now());
            return Ok(());
        };
        let message = format!("New size: {to}; reason: {reason}; error: {error}");
        self.recorder.warning(subject.scaler, "FailedRescale", message);
        Err(error.to_string())
    }

    /// Writes the status if it changed. A spec that changed meanwhile does not keep it from being told.
    async fn write_status(
        &self,
        scaler: &HorizontalPodAutoscaler,
        status: HorizontalPodAutoscalerStatus,
    ) -> Result<(), kube::Error> {
        let mut wanted = scaler.clone();
        wanted.status = Some(status);
        if wanted.status == scaler.status {
            return Ok(());
        }
        let meta = scaler.meta();
        let api = Api::namespaced(self.client.clone(), meta.namespace.as_deref().unwrap_or_default());
        match control::write::replace_status(&api, &wanted).await {
            Err(error) if error.is_conflict() => {
                let fresh: HorizontalPodAutoscaler = api.get(meta.name.as_deref().unwrap_or_default()).await?;
                if fresh.meta().uid == meta.uid {
                    let fresh = HorizontalPodAutoscaler { status: wanted.status, ..fresh };
                    control::write::replace_status(&api, &fresh).await?;
                }
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// The other autoscalers of the namespace and what their targets select.
fn rivals(all: &HashMap<ObjectKey, Memory>, key: &ObjectKey) -> Vec<(ObjectKey, LabelSelector)> {
    let others = all.iter().filter(|(other, _)| *other != key && other.namespace == key.namespace);
    let mut rivals: Vec<_> =
        others.filter_map(|(other, memory)| Some((other.clone(), memory.selector.clone()?))).collect();
    rivals.sort_by(|a, b| a.0.cmp(&b.0));
    rivals
}
