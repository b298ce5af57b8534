//! Keeps the status of ResourceQuotas: what a namespace uses of its hard limits.
//! (upstream: pkg/controller/resourcequota)
//!
//! Admission raises the numbers when something is made; this brings them down when something goes.

mod custom;
mod usage;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use control::{
    Change, Controller, Error, Informer, Informers, ObjectKey, Requeue, Shell, Watched, Watches, WorkQueue, pods,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota, ResourceQuotaSpec,
    ResourceQuotaStatus, Secret, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;

use custom::CustomCounts;
use usage::{Amounts, add, whole};

/// When kinds that are counted but not served are looked for again. (upstream: the resync of discovery)
const LOOK_AGAIN: Duration = Duration::from_secs(30);

pub struct QuotaController {
    client: Client,
    informers: Informers,
    quotas: Informer<ResourceQuota>,
    pods: Informer<Pod>,
    services: Informer<Service>,
    claims: Informer<PersistentVolumeClaim>,
    queue: Mutex<Option<WorkQueue<ObjectKey>>>,
    /// Kinds whose changes are followed already: they are only followed once a quota counts them.
    followed: Mutex<Vec<&'static str>>,
    custom: CustomCounts,
}

impl QuotaController {
    pub fn new(shell: &Shell) -> Self {
        Self {
            client: shell.client(),
            informers: shell.informers.clone(),
            quotas: shell.informers.get(),
            pods: shell.informers.get(),
            services: shell.informers.get(),
            claims: shell.informers.get(),
            queue: Mutex::default(),
            followed: Mutex::default(),
            custom: CustomCounts::new(shell.client()),
        }
    }

    async fn usage(&self, namespace: &str, spec: &ResourceQuotaSpec) -> Amounts {
        let mut used = Amounts::new();
        for pod in self.pods.in_namespace(namespace).iter().filter(|pod| usage::in_scope(spec, pod)) {
            add(&mut used, usage::pod(pod));
        }
        let services = self.services.in_namespace(namespace);
        services.iter().for_each(|service| add(&mut used, usage::service(service)));
        let claims = self.claims.in_namespace(namespace);
        claims.iter().for_each(|claim| add(&mut used, usage::claim(claim)));
        count(&mut used, "services", true, services.len());
        count(&mut used, "persistentvolumeclaims", true, claims.len());
        count(&mut used, "resourcequotas", true, self.quotas.in_namespace(namespace).len());
        self.count_kind::<ConfigMap>(&mut used, namespace, spec, "configmaps").await;
        self.count_kind::<Secret>(&mut used, namespace, spec, "secrets").await;
        self.count_kind::<ReplicationController>(&mut used, namespace, spec, "replicationcontrollers").await;
        self.count_kind::<Deployment>(&mut used, namespace, spec, "deployments.apps").await;
        self.count_kind::<ReplicaSet>(&mut used, namespace, spec, "replicasets.apps").await;
        self.count_kind::<StatefulSet>(&mut used, namespace, spec, "statefulsets.apps").await;
        self.count_kind::<DaemonSet>(&mut used, namespace, spec, "daemonsets.apps").await;
        self.count_kind::<Job>(&mut used, namespace, spec, "jobs.batch").await;
        self.count_kind::<CronJob>(&mut used, namespace, spec, "cronjobs.batch").await;
        used
    }

    /// Counts what quotas name and no type here stands for. Answers whether all of it is served.
    async fn count_custom(&self, used: &mut Amounts, namespace: &str, spec: &ResourceQuotaSpec) -> bool {
        let hard = spec.hard.iter().flatten().filter_map(|(name, _)| name.strip_prefix("count/"));
        let mut all_served = true;
        for resource in hard.filter(|resource| resource.contains('.')) {
            let name = format!("count/{resource}");
            if used.contains_key(&name) {
                continue;
            }
            let (quotas, queue) = (self.quotas.clone(), self.queue.lock().clone());
            let changed = move |namespace: &str| {
                let near = quotas.in_namespace(namespace);
                near.iter().for_each(|quota| queue.iter().for_each(|queue| queue.add(ObjectKey::of(&quota.metadata))));
            };
            match self.custom.count(resource, namespace, changed).await {
                Some(objects) => drop(used.insert(name, whole(objects))),
                None => all_served = false,
            }
        }
        all_served
    }

    async fn count_kind<K: Watched>(
        &self,
        used: &mut Amounts,
        namespace: &str,
        spec: &ResourceQuotaSpec,
        resource: &'static str,
    ) {
        let hard = spec.hard.iter().flatten().map(|(name, _)| name.as_str());
        if !hard.into_iter().any(|name| name.strip_prefix("count/").unwrap_or(name) == resource) {
            return;
        }
        let informer = self.informers.get::<K>();
        informer.synced().await;
        self.follow(&informer, resource);
        count(used, resource, !resource.contains('.'), informer.in_namespace(namespace).len());
    }

    /// From the first quota on that counts a kind, its objects' comings and goings are news.
    fn follow<K: Watched>(&self, informer: &Informer<K>, resource: &'static str) {
        let mut followed = self.followed.lock();
        let Some(queue) = self.queue.lock().clone().filter(|_| !followed.contains(&resource)) else { return };
        followed.push(resource);
        let quotas = self.quotas.clone();
        informer.subscribe(move |change| {
            let keys = if change.old().is_none() { quotas_near(&quotas, change) } else { Vec::new() };
            keys.into_iter().for_each(|key| queue.add(key));
        });
    }
}

fn count(used: &mut Amounts, resource: &str, has_own_name: bool, objects: usize) {
    used.insert(format!("count/{resource}"), whole(objects));
    if has_own_name {
        used.insert(resource.to_owned(), whole(objects));
    }
}

fn quotas_near<K: Watched>(quotas: &Informer<ResourceQuota>, change: &Change<K>) -> Vec<ObjectKey> {
    let namespace = change.object().meta().namespace.clone().unwrap_or_default();
    quotas.in_namespace(&namespace).iter().map(|quota| ObjectKey::of(&quota.metadata)).collect()
}

/// The status for `hard`, of all that is used; what is not used is zero.
fn status(hard: &BTreeMap<String, ApiQuantity>, used: &Amounts) -> ResourceQuotaStatus {
    let amount = |name: &String| used.get(name).copied().unwrap_or_default();
    let used = hard.keys().map(|name| (name.clone(), ApiQuantity(amount(name).to_string())));
    ResourceQuotaStatus { hard: Some(hard.clone()), used: Some(used.collect()) }
}

#[async_trait]
impl Controller for QuotaController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "resourcequota_primary"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        *self.queue.lock() = Some(watches.queue());
        watches.on(|change: &Change<ResourceQuota>| {
            // Admission writes the status; only a changed specification or a foreign status is news.
            let same = change.old().is_some_and(|old| old.spec == change.object().spec);
            (!same).then(|| ObjectKey::of(&change.object().metadata))
        });
        let quotas = self.quotas.clone();
        watches.on(move |change: &Change<Pod>| {
            let ended = |old: &Pod| pods::is_finished(change.object()) && !pods::is_finished(old);
            let resized = |old: &Pod| old.spec != change.object().spec;
            let news = change.old().is_none_or(|old| ended(old) || resized(old));
            if news { quotas_near(&quotas, change) } else { Vec::new() }
        });
        let quotas = self.quotas.clone();
        watches.on(move |change: &Change<Service>| quotas_near(&quotas, change));
        let quotas = self.quotas.clone();
        watches.on(move |change: &Change<PersistentVolumeClaim>| quotas_near(&quotas, change));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(quota) = self.quotas.get(key) else { return Ok(Requeue::No) };
        let Some(spec) = quota.spec.as_ref() else { return Ok(Requeue::No) };
        let hard = spec.hard.clone().unwrap_or_default();
        let mut used = self.usage(&key.namespace, spec).await;
        let all_served = self.count_custom(&mut used, &key.namespace, spec).await;
        let requeue = if all_served { Requeue::No } else { Requeue::After(LOOK_AGAIN) };
        let wanted = status(&hard, &used);
        if quota.status.as_ref() == Some(&wanted) {
            return Ok(requeue);
        }
        let api = Api::<ResourceQuota>::namespaced(self.client.clone(), &quota.namespace().unwrap_or_default());
        control::write::replace_status(&api, &ResourceQuota { status: Some(wanted), ..(*quota).clone() }).await?;
        Ok(requeue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_shows_each_hard_limit() {
        let hard = BTreeMap::from([
            ("pods".to_owned(), ApiQuantity("10".to_owned())),
            ("requests.cpu".to_owned(), ApiQuantity("2".to_owned())),
        ]);
        let used = Amounts::from([("pods".to_owned(), whole(3)), ("count/pods".to_owned(), whole(4))]);
        let status = status(&hard, &used);
        let expected = BTreeMap::from([
            ("pods".to_owned(), ApiQuantity("3".to_owned())),
            ("requests.cpu".to_owned(), ApiQuantity("0".to_owned())),
        ]);
        assert_eq!((status.hard, status.used), (Some(hard), Some(expected)));
    }
}
