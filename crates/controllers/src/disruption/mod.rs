//! Keeps the status of PodDisruptionBudgets, which evictions are judged by.

mod decide;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use control::meta::Labels;
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, pods};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Api, Client, ResourceExt};

use crate::podset::owner_key;
use decide::{PodView, Status, View, decide};

pub struct DisruptionController {
    client: Client,
    recorder: Recorder,
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    replica_sets: Informer<ReplicaSet>,
    deployments: Informer<Deployment>,
    stateful_sets: Informer<StatefulSet>,
    replication_controllers: Informer<ReplicationController>,
}

impl DisruptionController {
    pub fn new(shell: &Shell) -> Self {
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "controllermanager", ""),
            budgets: shell.informers.get(),
            pods: shell.informers.get(),
            replica_sets: shell.informers.get(),
            deployments: shell.informers.get(),
            stateful_sets: shell.informers.get(),
            replication_controllers: shell.informers.get(),
        }
    }

    /// What scales the pod: a deployment rather than its replica set.
    fn scale(&self, pod: &Pod) -> Option<(String, i32)> {
        let meta = &pod.metadata;
        if let Some(set) = owner_key::<ReplicaSet>(meta).and_then(|key| self.replica_sets.get(&key)) {
            let deployment = owner_key::<Deployment>(&set.metadata).and_then(|key| self.deployments.get(&key));
            return Some(match deployment {
                Some(owner) => (owner.uid()?, owner.spec.as_ref()?.replicas.unwrap_or(1)),
                None => (set.uid()?, set.spec.as_ref()?.replicas.unwrap_or(1)),
            });
        }
        if let Some(set) = owner_key::<StatefulSet>(meta).and_then(|key| self.stateful_sets.get(&key)) {
            return Some((set.uid()?, set.spec.as_ref()?.replicas.unwrap_or(1)));
        }
        let owner = owner_key::<ReplicationController>(meta).and_then(|key| self.replication_controllers.get(&key))?;
        Some((owner.uid()?, owner.spec.as_ref()?.replicas.unwrap_or(1)))
    }

    fn view(&self, budget: &PodDisruptionBudget) -> Result<View, Error> {
        let spec = budget.spec.clone().unwrap_or_default();
        let selector = Labels::compile(spec.selector.as_ref())?;
        let near = self.pods.in_namespace(budget.metadata.namespace.as_deref().unwrap_or_default());
        let selected = near.iter().filter(|pod| selector.matches(&pod.metadata) && !pods::is_finished(pod));
        let disrupted = budget.status.as_ref().and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
        Ok(View {
            min_available: spec.min_available,
            max_unavailable: spec.max_unavailable,
            pods: selected.map(|pod| self.pod_view(pod)).collect(),
            disrupted: disrupted.into_iter().map(|(name, at)| (name, at.0)).collect(),
            now: clock::now(),
        })
    }

    fn pod_view(&self, pod: &Arc<Pod>) -> PodView {
        PodView {
            name: pod.name_any(),
            ready: pods::is_ready(pod),
            terminating: pods::is_terminating(pod),
            scale: self.scale(pod),
        }
    }

    async fn write(&self, budget: &PodDisruptionBudget, status: Status) -> Result<(), Error> {
        let old = budget.status.clone().unwrap_or_default();
        let disrupted = status.disrupted.into_iter().map(|(name, at)| (name, Time(at))).collect();
        let wanted = PodDisruptionBudgetStatus {
            conditions: Some(conditions(budget, status.allowed)),
            current_healthy: status.current_healthy,
            desired_healthy: status.desired_healthy,
            disrupted_pods: Some(disrupted).filter(|pods: &std::collections::BTreeMap<_, _>| !pods.is_empty()),
            disruptions_allowed: status.allowed,
            expected_pods: status.expected,
            observed_generation: budget.metadata.generation,
        };
        if wanted == old {
            return Ok(());
        }
        let api = Api::<PodDisruptionBudget>::namespaced(self.client.clone(), &budget.namespace().unwrap_or_default());
        let changed = PodDisruptionBudget { status: Some(wanted), ..budget.clone() };
        control::write::replace_status(&api, &changed).await?;
        Ok(())
    }
}

/// The budget's conditions, with whether a disruption is allowed now.
fn conditions(budget: &PodDisruptionBudget, allowed: i32) -> Vec<Condition> {
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let mut all = budget.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let old = all.iter().position(|condition| condition.type_ == "DisruptionAllowed").map(|at| all.remove(at));
    let changed = old.filter(|old| old.status == status).map(|old| old.last_transition_time);
    all.push(Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        observed_generation: budget.metadata.generation,
        last_transition_time: changed.unwrap_or_else(|| Time(clock::now_seconds())),
    });
    all
}

/// The budgets that select a pod.
fn budgets_of(budgets: &Informer<PodDisruptionBudget>, pod: &Pod) -> Vec<ObjectKey> {
    let near = budgets.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()).into_iter();
    let selects = |budget: &Arc<PodDisruptionBudget>| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        Labels::compile(selector).is_ok_and(|selector| selector.matches(&pod.metadata))
    };
    near.filter(selects).map(|budget| ObjectKey::of(&budget.metadata)).collect()
}

/// The budgets of the namespace, for changes of what scales pods.
fn near<K: control::Watched>(budgets: &Informer<PodDisruptionBudget>, change: &Change<K>) -> Vec<ObjectKey> {
    let namespace = change.object().meta().namespace.clone().unwrap_or_default();
    budgets.in_namespace(&namespace).iter().map(|budget| ObjectKey::of(&budget.metadata)).collect()
}

#[async_trait]
impl Controller for DisruptionController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "disruption"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<PodDisruptionBudget>| [ObjectKey::of(&change.object().metadata)]);
        let budgets = self.budgets.clone();
        watches.on(move |change: &Change<Pod>| {
            let before = change.old().map(|old| budgets_of(&budgets, old)).unwrap_or_default();
            budgets_of(&budgets, change.object()).into_iter().chain(before).collect::<Vec<_>>()
        });
        let budgets = self.budgets.clone();
        watches.on(move |change: &Change<Deployment>| near(&budgets, change));
        let budgets = self.budgets.clone();
        watches.on(move |change: &Change<StatefulSet>| near(&budgets, change));
        let budgets = self.budgets.clone();
        watches.on(move |change: &Change<ReplicaSet>| near(&budgets, change));
        let budgets = self.budgets.clone();
        watches.on(move |change: &Change<ReplicationController>| near(&budgets, change));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(budget) = self.budgets.get(key) else { return Ok(Requeue::No) };
        let view = self.view(&budget)?;
        if view.pods.is_empty() {
            self.recorder.normal(&*budget, "NoPods", "No matching pods found");
        }
        let plan = decide(&view)?;
        for pod in &plan.not_deleted {
            if let Some(pod) = self.pods.find(&key.namespace, pod) {
                self.recorder.warning(&*pod, "NotDeleted", "Pod was expected by PDB to be deleted but it wasn't");
            }
        }
        if !plan.unmanaged.is_empty() {
            let message =
                format!("Pods selected by this PodDisruptionBudget were found to be unmanaged: {:?}", plan.unmanaged);
            self.recorder.warning(&*budget, "UnmanagedPods", message);
        }
        self.write(&budget, plan.status).await?;
        Ok(Requeue::maybe(plan.requeue_after))
    }
}
