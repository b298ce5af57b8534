//! Keeps the status of ResourceQuotas: what a namespace uses of its hard limits.
//! (upstream: pkg/controller/resourcequota)
//!
//! Admission raises the numbers when something is made; this brings them down when something goes.

mod custom;
mod settle;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::{
    Change, Controller, Error, Informer, Informers, ObjectKey, Requeue, Shell, Watched, Watches, WorkQueue, pods,
};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota, ResourceQuotaStatus, Secret, Service,
};
use k8s_openapi::api::resource::v1::ResourceClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kinds::KindDef;
use kinds::quota::{self, Amounts, DEVICE_CLASS, add, amounts, whole};
use kube::{Api, Client, ResourceExt};
use machinery::Object;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use custom::CustomCounts;
use settle::{Look, SETTLE, settle};

/// When kinds that are counted but not served are looked for again. (upstream: the resync of discovery)
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// When a quota is counted anew after something was charged or made: what it was charged for may have been refused in
/// the end.
const RECOUNT: Duration = Duration::from_secs(10);

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
    /// Quotas of which less seems to be used than they say.
    looks: Mutex<HashMap<ObjectKey, Look>>,
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
            looks: Mutex::default(),
        }
    }

    /// What is used, and when that changes by itself.
    async fn usage(&self, namespace: &str, quota: &Object) -> (Amounts, Option<Timestamp>) {
        let mut used = Amounts::new();
        let pods: Vec<Object> = self.pods.in_namespace(namespace).iter().filter_map(object).collect();
        let due = pods.iter().filter_map(quota::due).filter(|due| *due >= clock::now()).min();
        measure(&mut used, quota, &kinds::core::POD, pods);
        let services = self.services.in_namespace(namespace);
        measure(&mut used, quota, &kinds::core::SERVICE, services.iter().filter_map(object));
        let claims = self.claims.in_namespace(namespace);
        measure(&mut used, quota, &kinds::core::PERSISTENT_VOLUME_CLAIM, claims.iter().filter_map(object));
        let device_claims = self.limited_kind::<ResourceClaim>(quota, "resourceclaims.resource.k8s.io").await;
        let device_claims = device_claims.map(|informer| informer.in_namespace(namespace)).unwrap_or_default();
        measure(&mut used, quota, &kinds::resource::RESOURCE_CLAIM, device_claims.iter().filter_map(object));
        count(&mut used, quota, "resourcequotas", self.quotas.count_in_namespace(namespace));
        self.count_kind::<ConfigMap>(&mut used, namespace, quota, "configmaps").await;
        self.count_kind::<Secret>(&mut used, namespace, quota, "secrets").await;
        self.count_kind::<ReplicationController>(&mut used, namespace, quota, "replicationcontrollers").await;
        self.count_kind::<Deployment>(&mut used, namespace, quota, "deployments.apps").await;
        self.count_kind::<ReplicaSet>(&mut used, namespace, quota, "replicasets.apps").await;
        self.count_kind::<StatefulSet>(&mut used, namespace, quota, "statefulsets.apps").await;
        self.count_kind::<DaemonSet>(&mut used, namespace, quota, "daemonsets.apps").await;
        self.count_kind::<Job>(&mut used, namespace, quota, "jobs.batch").await;
        self.count_kind::<CronJob>(&mut used, namespace, quota, "cronjobs.batch").await;
        (used, due)
    }

    /// Counts what quotas name and no type here stands for. Answers whether all of it is served.
    async fn count_custom(&self, used: &mut Amounts, namespace: &str, quota: &Object) -> bool {
        let counted = limited(quota).filter_map(|name| name.strip_prefix("count/"));
        let mut all_served = true;
        for resource in counted.filter(|resource| resource.contains('.')) {
            if used.contains_key(&format!("count/{resource}")) {
                continue;
            }
            let (quotas, queue) = (self.quotas.clone(), self.queue.lock().clone());
            let changed = move |namespace: Option<&str>| {
                let near = namespace.map_or_else(|| quotas.list(), |namespace| quotas.in_namespace(namespace));
                near.iter().for_each(|quota| queue.iter().for_each(|queue| queue.add(ObjectKey::of(&quota.metadata))));
            };
            match self.custom.count(resource, namespace, changed).await {
                Some(objects) => count(used, quota, resource, objects),
                None => all_served = false,
            }
        }
        all_served
    }

    async fn count_kind<K: Watched>(
        &self,
        used: &mut Amounts,
        namespace: &str,
        quota: &Object,
        resource: &'static str,
    ) {
        let informer = self.limited_kind::<K>(quota, resource).await;
        count(used, quota, resource, informer.map_or(0, |informer| informer.count_in_namespace(namespace)));
    }

    /// All objects of a kind, if the quota limits it.
    async fn limited_kind<K: Watched>(&self, quota: &Object, resource: &'static str) -> Option<Informer<K>> {
        let names = |name: &str| {
            let devices = resource == "resourceclaims.resource.k8s.io" && name.ends_with(DEVICE_CLASS);
            devices || name.strip_prefix("count/").unwrap_or(name) == resource
        };
        if !limited(quota).any(names) {
            return None;
        }
        let informer = self.informers.get::<K>();
        informer.synced().await;
        self.follow(&informer, resource);
        Some(informer)
    }

    /// What the quota may say is used, and whether that is more than was counted.
    fn settled(&self, key: &ObjectKey, used: &Amounts, counted: &Amounts) -> (Amounts, bool) {
        let mut looks = self.looks.lock();
        let look = looks.get(key);
        let ripe = look.filter(|look| look.since.elapsed() >= SETTLE);
        let settled = settle(used, counted, ripe.map(|look| &look.used));
        let owes = settled != *counted;
        if !owes {
            looks.remove(key);
        } else if look.is_none() || ripe.is_some() {
            looks.insert(key.clone(), Look { since: Instant::now(), used: settled.clone() });
        }
        (settled, owes)
    }

    /// From the first quota on that counts a kind, it is news when an object of it goes.
    fn follow<K: Watched>(&self, informer: &Informer<K>, resource: &'static str) {
        let mut followed = self.followed.lock();
        let Some(queue) = self.queue.lock().clone().filter(|_| !followed.contains(&resource)) else { return };
        followed.push(resource);
        let quotas = self.quotas.clone();
        informer.subscribe(move |change| {
            let keys = if change.is_deletion() { quotas_near(&quotas, change) } else { Vec::new() };
            keys.into_iter().for_each(|key| queue.add(key));
        });
    }
}

fn limited(quota: &Object) -> impl Iterator<Item = &str> {
    quota.map(&["spec", "hard"]).into_iter().flatten().map(|(name, _)| name.as_str())
}

fn object<K: Serialize>(typed: &Arc<K>) -> Option<Object> {
    Object::from_value(serde_json::to_value(&**typed).ok()?)
}

/// Adds what those objects use that the quota's scopes admit.
fn measure(used: &mut Amounts, quota: &Object, kind: &KindDef, objects: impl IntoIterator<Item = Object>) {
    let fitting = objects.into_iter().filter(|object| quota::fits(quota, kind, object));
    fitting.for_each(|object| add(used, &quota::usage(kind, &object)));
}

/// Scopes admit nothing of kinds that are but counted.
fn count(used: &mut Amounts, quota: &Object, resource: &str, objects: usize) {
    let scoped = ["scopes", "scopeSelector"].iter().any(|field| quota.get(&["spec", field]).is_some());
    let objects = whole(if scoped { 0 } else { objects as i128 });
    used.insert(format!("count/{resource}"), objects);
    if !resource.contains('.') {
        used.insert(resource.to_owned(), objects);
    }
}

/// What comes is charged by admission, whose change of the quota is news.
fn quotas_after<K: Watched>(quotas: &Informer<ResourceQuota>, change: &Change<K>) -> Vec<ObjectKey> {
    if matches!(change, Change::Added(_)) { Vec::new() } else { quotas_near(quotas, change) }
}

fn quotas_near<K: Watched>(quotas: &Informer<ResourceQuota>, change: &Change<K>) -> Vec<ObjectKey> {
    let namespace = change.object().meta().namespace.clone().unwrap_or_default();
    quotas.in_namespace(&namespace).iter().map(|quota| ObjectKey::of(&quota.metadata)).collect()
}

fn status(hard: BTreeMap<String, ApiQuantity>, used: Amounts) -> ResourceQuotaStatus {
    let used = used.into_iter().map(|(name, amount)| (name, ApiQuantity(amount.to_string())));
    ResourceQuotaStatus { hard: Some(hard), used: Some(used.collect()) }
}

#[async_trait]
impl Controller for QuotaController {
    type Key = ObjectKey;

    fn name(&self) -> &'static str {
        "resourcequota_primary"
    }

    fn watches(&self, watches: &mut Watches<ObjectKey>) {
        *self.queue.lock() = Some(watches.queue());
        let queue = watches.queue();
        watches.on(move |change: &Change<ResourceQuota>| {
            let key = ObjectKey::of(&change.object().metadata);
            if change.old().is_some_and(|old| old.spec == change.object().spec) {
                queue.add_after(key, RECOUNT);
                return None;
            }
            Some(key)
        });
        let quotas = self.quotas.clone();
        watches.on(move |change: &Change<Pod>| {
            let ended = |old: &Pod| pods::is_finished(change.object()) && !pods::is_finished(old);
            let leaves = |old: &Pod| pods::is_terminating(change.object()) && !pods::is_terminating(old);
            let resized = |old: &Pod| old.spec != change.object().spec;
            let less = change.old().is_some_and(|old| ended(old) || leaves(old) || resized(old));
            if less || change.is_deletion() { quotas_near(&quotas, change) } else { Vec::new() }
        });
        let quotas = self.quotas.clone();
        watches.on(move |change: &Change<Service>| quotas_after(&quotas, change));
        let quotas = self.quotas.clone();
        watches.on(move |change: &Change<PersistentVolumeClaim>| quotas_after(&quotas, change));
    }

    async fn reconcile(&self, key: &ObjectKey) -> Result<Requeue, Error> {
        let Some(quota) = self.quotas.get(key) else {
            self.looks.lock().remove(key);
            return Ok(Requeue::No);
        };
        let Some(seen) = object(&quota) else { return Ok(Requeue::No) };
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
        let (mut counted, due) = self.usage(&key.namespace, &seen).await;
        let all_served = self.count_custom(&mut counted, &key.namespace, &seen).await;
        let again = (!all_served).then_some(LOOK_AGAIN);
        let due = due.map(|due| pods::remaining(due, Duration::from_secs(1), clock::now()));
        let again = again.into_iter().chain(due).min();
        let amount = |name: &String| (name.clone(), counted.get(name).copied().unwrap_or_default());
        let counted: Amounts = hard.keys().map(amount).collect();
        let (used, owes) = self.settled(key, &amounts(seen.get(&["status", "used"])), &counted);
        let again = again.into_iter().chain(owes.then_some(SETTLE)).min();
        let wanted = status(hard, used);
        if quota.status.as_ref() == Some(&wanted) {
            return Ok(Requeue::maybe(again));
        }
        let api = Api::<ResourceQuota>::namespaced(self.client.clone(), &quota.namespace().unwrap_or_default());
        control::write::replace_status(&api, &ResourceQuota { status: Some(wanted), ..(*quota).clone() }).await?;
        Ok(Requeue::maybe(again))
    }
}
