//! Keeps the wanted number of pods running, for ReplicaSets and ReplicationControllers.

mod decide;
mod kind;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use control::meta::Labels;
use control::{Controller, Error, Expectations, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, meta, pods};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Client, ResourceExt};

use crate::podset;
use decide::{Action, Counts, PodView, View, decide};
pub use decide::{Order, Phase, deletion_cost, removal_order, span};
pub use kind::Replicated;

/// The condition `ReplicaFailure`: reason and message.
pub struct Failure {
    reason: &'static str,
    message: String,
}

pub struct ReplicaController<T: Replicated> {
    client: Client,
    recorder: Recorder,
    owners: Informer<T>,
    pods: Informer<Pod>,
    expectations: Arc<Expectations>,
}

impl<T: Replicated> ReplicaController<T> {
    pub fn new(shell: &Shell) -> Self {
        let pods = shell.informers.get::<Pod>();
        podset::add_indexes(&pods);
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), T::COMPONENT, ""),
            owners: shell.informers.get(),
            pods,
            expectations: Arc::default(),
        }
    }

    /// Pods on each node that belong to the same deployment: a node that holds several gives one up first.
    fn ranks(&self, owner: &T) -> HashMap<String, usize> {
        let related = match meta::controller_of(owner.meta()) {
            Some(controller) => self.owners.owned_by(&controller.uid),
            None => self.owners.get(&ObjectKey::of(owner.meta())).into_iter().collect(),
        };
        let mut ranks = HashMap::new();
        for pod in related.iter().flat_map(|set| self.pods.owned_by(meta::uid(set.meta()))) {
            if let (true, Some(node)) = (pods::is_active(&pod), pods::node_name(&pod)) {
                *ranks.entry(node.to_owned()).or_default() += 1;
            }
        }
        ranks
    }

    fn view(&self, key: &ObjectKey, owner: &T, selector: &Labels, now: Timestamp) -> View {
        let found = podset::candidates(&self.pods, owner.meta());
        let ranks = self.ranks(owner);
        View {
            desired: owner.replicas(),
            deleting: meta::is_terminating(owner.meta()),
            in_flight: !self.expectations.satisfied(key),
            pods: found.iter().map(|pod| pod_view(owner, pod, selector, &ranks, now)).collect(),
        }
    }

    async fn apply(&self, key: &ObjectKey, owner: &T, actions: &[Action]) -> Result<Option<(Failure, Error)>, Error> {
        let mut victims = Vec::new();
        let mut failure = None;
        for action in actions {
            match action {
                Action::Adopt { pod } => {
                    if let Some(pod) = self.pods.find(&key.namespace, pod) {
                        self.still_wanted(key, owner).await?;
                        podset::adopt(&self.client, owner, &pod).await?;
                    }
                }
                Action::Release { pod } => {
                    if let Some(pod) = self.pods.find(&key.namespace, pod) {
                        podset::release(&self.client, owner.meta(), &pod).await?;
                    }
                }
                Action::Create { count } => failure = self.create(key, owner, *count).await,
                Action::Delete { pod, uid } => victims.push((pod, uid)),
            }
        }
        Ok(failure.or(self.delete(key, owner, &victims).await))
    }

    /// Before adopting, asks the server: the cache may show an owner that is gone.
    async fn still_wanted(&self, key: &ObjectKey, owner: &T) -> Result<(), Error> {
        let api = Api::<T>::namespaced(self.client.clone(), &key.namespace);
        let fresh = api.get(&key.name).await?;
        if fresh.meta().uid != owner.meta().uid || meta::is_terminating(fresh.meta()) {
            return Err(Error::Retry(format!("{key} was deleted or replaced, it adopts nothing")));
        }
        Ok(())
    }

    async fn create(&self, key: &ObjectKey, owner: &T, count: usize) -> Option<(Failure, Error)> {
        let name = owner.name_any();
        let pod = podset::from_template(owner.template()?, &key.namespace, &name, meta::controller_ref(owner));
        self.expectations.expect_creations(key, count);
        let create = |_| podset::create_pod(&self.client, &self.recorder, owner, &pod);
        let (created, error) = podset::slow_start(count, create).await;
        for _ in created..count {
            self.expectations.creation_observed(key);
        }
        error.map(|error| failed("FailedCreate", error))
    }

    async fn delete(&self, key: &ObjectKey, owner: &T, victims: &[(&String, &String)]) -> Option<(Failure, Error)> {
        self.expectations.expect_deletions(key, victims.iter().map(|(_, uid)| (*uid).clone()));
        let delete = |(name, uid): &(&String, &String)| {
            let (name, uid) = ((*name).clone(), (*uid).clone());
            async move {
                let deleted = podset::delete_pod(&self.client, &self.recorder, owner, &name, &uid).await;
                if deleted.is_err() {
                    self.expectations.deletion_observed(key, &uid);
                }
                deleted
            }
        };
        let results = futures::future::join_all(victims.iter().map(delete)).await;
        results.into_iter().find_map(Result::err).map(|error| failed("FailedDelete", error))
    }

    async fn write_status(&self, owner: &T, counts: Counts, failure: Option<&Failure>) -> Result<(), Error> {
        let mut wanted = owner.clone();
        wanted.set_status(counts, failure, Time(clock::now_seconds()));
        if wanted.same_status(owner) {
            return Ok(());
        }
        let api = Api::<T>::namespaced(self.client.clone(), owner.meta().namespace.as_deref().unwrap_or_default());
        control::write::replace_status(&api, &wanted).await?;
        Ok(())
    }
}

fn failed(reason: &'static str, error: kube::Error) -> (Failure, Error) {
    let message = crate::reason_text(&error);
    (Failure { reason, message }, error.into())
}

fn pod_view<T: Replicated>(
    owner: &T,
    pod: &Pod,
    selector: &Labels,
    ranks: &HashMap<String, usize>,
    now: Timestamp,
) -> PodView {
    let available_in = pods::available_in(pod, owner.min_ready(), now);
    PodView {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        owned: meta::is_controlled_by(&pod.metadata, owner.meta()),
        matches: selector.matches(&pod.metadata),
        fully_labeled: has_template_labels(owner, pod),
        terminating: pods::is_terminating(pod),
        finished: pods::is_finished(pod),
        ready: pods::is_ready(pod),
        available_in,
        order: removal_facts(pod, ranks, now),
    }
}

/// What the order of removal needs to know of a pod.
pub fn removal_facts(pod: &Pod, ranks: &HashMap<String, usize>, now: Timestamp) -> Order {
    let node = pods::node_name(pod);
    Order {
        assigned: node.is_some(),
        phase: match pods::phase(pod) {
            "Running" => Phase::Running,
            "Unknown" => Phase::Unknown,
            _ => Phase::Pending,
        },
        ready: pods::is_ready(pod),
        deletion_cost: deletion_cost(meta::annotation(&pod.metadata, "controller.kubernetes.io/pod-deletion-cost")),
        rank: node.and_then(|node| ranks.get(node)).copied().unwrap_or_default(),
        ready_for: span(pods::ready_since(pod), now),
        restarts: pods::max_restarts(pod),
        age: span(meta::created_at(&pod.metadata), now),
        uid: pod.uid().unwrap_or_default(),
    }
}

fn has_template_labels<T: Replicated>(owner: &T, pod: &Pod) -> bool {
    let wanted = owner.template().and_then(|template| template.metadata.as_ref()?.labels.as_ref());
    wanted.into_iter().flatten().all(|(key, value)| meta::label(&pod.metadata, key) == Some(value))
}

#[async_trait]
impl<T: Replicated> Controller for ReplicaController<T> {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        T::QUEUE
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &control::Change<T>| [ObjectKey::of(change.object().meta())]);
        let (owners, expectations) = (self.owners.clone(), self.expectations.clone());
        watches.on(move |change: &control::Change<Pod>| {
            let keys = podset::observe::<T>(change, &expectations);
            if keys.is_empty() && !change.is_deletion() { adopters(&owners, change.object()) } else { keys }
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(owner) = self.owners.get(key) else {
            self.expectations.forget(key);
            return Ok(Requeue::No);
        };
        let selector = owner.selector()?;
        let plan = decide(&self.view(key, &owner, &selector, clock::now()));
        let failure = self.apply(key, &owner, &plan.actions).await?;
        self.write_status(&owner, plan.counts, failure.as_ref().map(|(failure, _)| failure)).await?;
        match failure {
            Some((_, error)) if control::error::ApiErrorExt::is_namespace_terminating(&error) => Ok(Requeue::No),
            Some((_, error)) => Err(error),
            None => Ok(Requeue::maybe(plan.requeue_after)),
        }
    }
}

/// The owners whose selector matches a pod that nothing manages.
fn adopters<T: Replicated>(owners: &Informer<T>, pod: &Pod) -> Vec<ObjectKey> {
    if meta::controller_of(&pod.metadata).is_some() {
        return Vec::new();
    }
    let matching = owners.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()).into_iter();
    let matching = matching.filter(|owner| owner.selector().is_ok_and(|selector| selector.matches(&pod.metadata)));
    matching.map(|owner| ObjectKey::of(owner.meta())).collect()
}
