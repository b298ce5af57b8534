//! Empties namespaces that are being deleted. (upstream: pkg/controller/namespace)

mod decide;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use control::error::ignore_not_found;
use control::{Change, Controller, Error, Informer, ObjectKey, Requeue, Shell, Watches, meta};
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::{Api, Client};
use tracing::info;

use crate::discovery::{Served, discover};
use decide::{Condition, Outcome, conditions};

const FINALIZER: &str = "kubernetes";
/// The time until content that was told to go is looked at again: objects of any kind have no event here.
const RECHECK: Duration = Duration::from_secs(2);

pub struct NamespaceController {
    client: Client,
    namespaces: Informer<Namespace>,
}

impl NamespaceController {
    pub fn new(shell: &Shell) -> Self {
        Self { client: shell.client(), namespaces: shell.informers.get() }
    }

    fn api(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    async fn empty(&self, namespace: &str) -> Result<Outcome, Error> {
        let found = discover(&self.client).await?;
        let mut outcome = Outcome { discovery_failures: found.failures, ..Outcome::default() };
        let deletable =
            found.served.iter().filter(|served| served.namespaced && served.can("list") && served.can("delete"));
        let (pods, others): (Vec<_>, Vec<_>) = deletable.partition(|served| served.group_resource() == "pods");
        // Pods go first and alone, so that none runs on without the policies and secrets it was given.
        for served in pods {
            self.delete_all(namespace, served, &mut outcome).await;
        }
        if !outcome.is_empty() {
            return Ok(outcome);
        }
        for served in others {
            self.delete_all(namespace, served, &mut outcome).await;
        }
        Ok(outcome)
    }

    async fn delete_all(&self, namespace: &str, served: &Served, outcome: &mut Outcome) {
        if let Err(error) = self.try_delete_all(namespace, served, outcome).await {
            let message = format!("{}: {}", served.group_resource(), crate::reason_text(&error));
            outcome.deletion_failures.push(message);
        }
    }

    async fn try_delete_all(&self, namespace: &str, served: &Served, outcome: &mut Outcome) -> Result<(), kube::Error> {
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &served.resource);
        let present = list(&api).await?;
        if present.is_empty() {
            return Ok(());
        }
        let background = DeleteParams::background();
        if served.can("deletecollection") {
            api.delete_collection(&background, &ListParams::default()).await?;
        } else {
            for object in &present {
                ignore_not_found(api.delete(object.metadata.name.as_deref().unwrap_or_default(), &background).await)?;
            }
        }
        let left = list(&api).await?;
        if !left.is_empty() {
            outcome.remaining.insert(served.group_resource(), left.len());
        }
        for finalizer in left.iter().flat_map(|object| object.metadata.finalizers.iter().flatten()) {
            *outcome.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        Ok(())
    }

    async fn write_conditions(&self, namespace: &Namespace, wanted: &[Condition]) -> Result<Namespace, Error> {
        let mut changed = namespace.clone();
        let status = changed.status.get_or_insert_default();
        status.phase = Some("Terminating".to_owned());
        let present = status.conditions.get_or_insert_default();
        wanted.iter().for_each(|condition| set(present, condition));
        if changed == *namespace {
            return Ok(changed);
        }
        Ok(control::write::replace_status(&self.api(), &changed).await?)
    }

    async fn finalize(&self, mut namespace: Namespace) -> Result<(), Error> {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let finalized = self.api().replace_subresource("finalize", &name, &PostParams::default(), &namespace).await;
        ignore_not_found(finalized)?;
        info!(namespace = name, "namespace is empty");
        Ok(())
    }
}

async fn list(api: &Api<DynamicObject>) -> Result<Vec<PartialObjectMeta<DynamicObject>>, kube::Error> {
    Ok(api.list_metadata(&ListParams::default()).await?.items)
}

fn set(present: &mut Vec<NamespaceCondition>, wanted: &Condition) {
    let status = if wanted.status { "True" } else { "False" };
    let (reason, message) = (Some(wanted.reason.to_owned()), Some(wanted.message.clone()));
    match present.iter_mut().find(|condition| condition.type_ == wanted.type_) {
        Some(condition) => {
            if condition.status != status {
                condition.last_transition_time = Some(Time(clock::now_seconds()));
            }
            (condition.status, condition.reason, condition.message) = (status.to_owned(), reason, message);
        }
        None => present.push(NamespaceCondition {
            type_: wanted.type_.to_owned(),
            status: status.to_owned(),
            reason,
            message,
            last_transition_time: Some(Time(clock::now_seconds())),
        }),
    }
}

fn waits_for_us(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    let ours = finalizers.is_some_and(|finalizers| finalizers.iter().any(|finalizer| finalizer == FINALIZER));
    meta::is_terminating(&namespace.metadata) && ours
}

#[async_trait]
impl Controller for NamespaceController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "namespace"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        watches.on(|change: &Change<Namespace>| {
            let waits = !change.is_deletion() && waits_for_us(change.object());
            waits.then(|| ObjectKey::of(&change.object().metadata))
        });
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let cached = self.namespaces.get(key).filter(|namespace| waits_for_us(namespace));
        let Some(cached) = cached else { return Ok(Requeue::No) };
        let fresh = self.api().get_opt(&key.name).await?;
        let Some(namespace) = fresh.filter(|fresh| fresh.metadata.uid == cached.metadata.uid && waits_for_us(fresh))
        else {
            return Ok(Requeue::No);
        };
        let outcome = self.empty(&key.name).await?;
        let namespace = self.write_conditions(&namespace, &conditions(&outcome)).await?;
        if outcome.is_empty() {
            self.finalize(namespace).await?;
            return Ok(Requeue::No);
        }
        match outcome.deletion_failures.first().or(outcome.discovery_failures.first().map(|(_, error)| error)) {
            Some(problem) => Err(Error::Retry(problem.clone())),
            None => Ok(Requeue::After(RECHECK)),
        }
    }
}
