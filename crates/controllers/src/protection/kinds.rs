//! Claims that pods use, volumes that claims are bound to, classes that either names.

use std::collections::BTreeSet;

use async_trait::async_trait;
use control::{Change, Error, Informer, ObjectKey, Shell, Watches, meta, pods};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::Protected;

const BY_CLAIM: &str = "claim";

pub struct Pods {
    client: Client,
    cached: Informer<Pod>,
}

#[async_trait]
impl Protected for PersistentVolumeClaim {
    const QUEUE: &'static str = "pvcprotection";
    const FINALIZER: &'static str = "kubernetes.io/pvc-protection";
    type Users = Pods;

    fn users(shell: &Shell) -> Pods {
        let cached = shell.informers.get::<Pod>();
        cached.add_index(BY_CLAIM, |pod| claims_of(pod).iter().map(ObjectKey::to_string).collect());
        Pods { client: shell.client(), cached }
    }

    fn watch_users(users: &Pods, watches: &mut Watches<ObjectKey>) {
        watches.on_informer(&users.cached, freed_claims);
    }

    /// The cache may not know a pod yet: a claim goes only if the server knows of none either.
    async fn is_used(&self, users: &Pods) -> Result<bool, Error> {
        let key = ObjectKey::of(&self.metadata);
        if users.cached.by_index(BY_CLAIM, &key.to_string()).iter().any(|pod| uses(pod, self)) {
            return Ok(true);
        }
        let pods = Api::<Pod>::namespaced(users.client.clone(), &key.namespace).list(&ListParams::default()).await?;
        Ok(pods.items.iter().any(|pod| uses(pod, self)))
    }

    fn api(client: Client, key: &ObjectKey) -> Api<Self> {
        Api::namespaced(client, &key.namespace)
    }
}

fn claim_name(pod: &Pod, volume: &Volume) -> Option<String> {
    let named = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
    named.or_else(|| volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name_any(), volume.name)))
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

fn claims_of(pod: &Pod) -> Vec<ObjectKey> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    volumes(pod).filter_map(|volume| Some(ObjectKey::new(namespace, &claim_name(pod, volume)?))).collect()
}

/// The claims of a pod that is gone, has ended or has no node; and of one whose name another has taken.
pub(super) fn freed_claims(change: &Change<Pod>) -> Vec<ObjectKey> {
    let pod = change.object();
    let ends = change.is_deletion() || pods::is_finished(pod) || pods::node_name(pod).is_none();
    let former = change.old().filter(|old| old.metadata.uid != pod.metadata.uid);
    let mut keys = if ends { claims_of(pod) } else { Vec::new() };
    keys.extend(former.into_iter().flat_map(|old| claims_of(old)));
    keys
}

/// A node starts no pod whose claim is being deleted: only pods that have a node already hold it. Of an ephemeral
/// claim that is until the node is done with the pod, which may wait for the claim in turn.
pub(super) fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let is_named = |volume: &Volume| claim_name(pod, volume).as_deref() == claim.metadata.name.as_deref();
    let holds = |volume: &Volume| {
        volume.persistent_volume_claim.is_some()
            || (!is_shut_down(pod) && meta::is_controlled_by(&claim.metadata, &pod.metadata))
    };
    pods::node_name(pod).is_some() && volumes(pod).any(|volume| is_named(volume) && holds(volume))
}

fn is_shut_down(pod: &Pod) -> bool {
    pods::is_terminating(pod) && pod.metadata.deletion_grace_period_seconds == Some(0)
}

#[async_trait]
impl Protected for PersistentVolume {
    const QUEUE: &'static str = "pvprotection";
    const FINALIZER: &'static str = "kubernetes.io/pv-protection";
    type Users = ();

    fn users(_: &Shell) {}

    /// The binder tells in the volume itself whether a claim holds it.
    fn watch_users((): &(), _: &mut Watches<ObjectKey>) {}

    async fn is_used(&self, (): &()) -> Result<bool, Error> {
        Ok(self.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound"))
    }

    fn api(client: Client, _: &ObjectKey) -> Api<Self> {
        Api::all(client)
    }
}

pub struct Naming {
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
}

#[async_trait]
impl Protected for VolumeAttributesClass {
    const QUEUE: &'static str = "vacprotection";
    const FINALIZER: &'static str = "kubernetes.io/vac-protection";
    type Users = Naming;

    fn users(shell: &Shell) -> Naming {
        let naming = Naming { claims: shell.informers.get(), volumes: shell.informers.get() };
        naming.claims.add_index(Self::QUEUE, |claim| classes_of_claim(claim).into_iter().collect());
        naming.volumes.add_index(Self::QUEUE, |volume| class_of_volume(volume).into_iter().collect());
        naming
    }

    fn watch_users(users: &Naming, watches: &mut Watches<ObjectKey>) {
        watches.on_informer(&users.claims, |change| {
            let of = |claim: &_| classes_of_claim(claim);
            dropped(change, of).iter().map(|name| ObjectKey::cluster(name)).collect::<Vec<_>>()
        });
        watches.on_informer(&users.volumes, |change| {
            let of = |volume: &_| class_of_volume(volume).into_iter().collect();
            dropped(change, of).iter().map(|name| ObjectKey::cluster(name)).collect::<Vec<_>>()
        });
    }

    async fn is_used(&self, users: &Naming) -> Result<bool, Error> {
        let name = self.name_any();
        let claims = users.claims.by_index(Self::QUEUE, &name);
        Ok(!claims.is_empty() || !users.volumes.by_index(Self::QUEUE, &name).is_empty())
    }

    fn api(client: Client, _: &ObjectKey) -> Api<Self> {
        Api::all(client)
    }
}

/// The names that an object does not name any more.
fn dropped<K>(change: &Change<K>, names: impl Fn(&K) -> BTreeSet<String>) -> BTreeSet<String> {
    match (change.is_deletion(), change.old()) {
        (true, _) => names(change.object()),
        (false, Some(old)) => &names(old) - &names(change.object()),
        (false, None) => BTreeSet::new(),
    }
}

/// The class that is wanted, the one that is there, and the one on its way.
pub(super) fn classes_of_claim(claim: &PersistentVolumeClaim) -> BTreeSet<String> {
    let status = claim.status.as_ref();
    let modifying = status.and_then(|status| status.modify_volume_status.as_ref());
    let names = [
        claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_ref()),
        status.and_then(|status| status.current_volume_attributes_class_name.as_ref()),
        modifying.and_then(|status| status.target_volume_attributes_class_name.as_ref()),
    ];
    names.into_iter().flatten().filter(|name| !name.is_empty()).cloned().collect()
}

fn class_of_volume(volume: &PersistentVolume) -> Option<String> {
    volume.spec.as_ref()?.volume_attributes_class_name.clone().filter(|name| !name.is_empty())
}
