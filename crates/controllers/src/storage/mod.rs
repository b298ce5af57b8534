//! Binds claims to volumes, and makes volumes on a node's disk for the class of our own provisioner.

mod decide;
#[cfg(test)]
mod tests;
mod view;

use std::fmt;

use async_trait::async_trait;
use control::error::{ignore_already_exists, ignore_not_found};
use control::{Change, Controller, Error, Informer, ObjectKey, Recorder, Requeue, Shell, Watches, meta};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tracing::info;

use decide::{Fate, Step};

/// The provisioner of volumes on a node's own disk.
pub const PROVISIONER: &str = "keelson.dev/local-path";

const BOUND_BY_US: &str = "pv.kubernetes.io/bound-by-controller";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Claim(ObjectKey),
    Volume(ObjectKey),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(key) => write!(f, "claim {key}"),
            Self::Volume(key) => write!(f, "volume {key}"),
        }
    }
}

pub struct VolumeBinder {
    client: Client,
    recorder: Recorder,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    classes: Informer<StorageClass>,
}

impl VolumeBinder {
    pub fn new(shell: &Shell) -> Self {
        Self {
            client: shell.client(),
            recorder: Recorder::new(shell.client(), "persistentvolume-controller", ""),
            claims: shell.informers.get(),
            volumes: shell.informers.get(),
            classes: shell.informers.get(),
        }
    }

    fn volume_api(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    fn claim_api(&self, claim: &PersistentVolumeClaim) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default())
    }

    async fn sync_claim(&self, key: &ObjectKey) -> Result<(), Error> {
        let Some(claim) = self.claims.get(key) else { return Ok(()) };
        let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
        let class = self.classes.find("", class);
        let volumes = self.volumes.list();
        let views: Vec<_> = volumes.iter().map(|volume| view::volume(volume, Some(&claim))).collect();
        let step = decide::claim(&view::claim(&claim, class.as_deref()), &views);
        self.apply(&claim, class.as_deref(), step).await
    }

    async fn apply(
        &self,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
        step: Step,
    ) -> Result<(), Error> {
        match step {
            Step::Done => Ok(()),
            Step::Reserve { volume } => {
                let annotations = json!({ BOUND_BY_US: "yes" });
                let patch = json!({ "metadata": { "annotations": annotations }, "spec": { "claimRef": view::reference(claim) } });
                self.patch_volume(&volume, patch).await
            }
            Step::Name { volume } => {
                let annotations = json!({ BIND_COMPLETED: "yes", BOUND_BY_US: "yes" });
                self.patch_claim(
                    claim,
                    json!({ "metadata": { "annotations": annotations }, "spec": { "volumeName": volume } }),
                )
                .await
            }
            Step::VolumeBound { volume } => self.set_phase(&volume, "Bound").await,
            Step::ClaimBound { volume } => self.set_claim_bound(claim, &volume).await,
            Step::Provision => self.provision(claim, class).await,
            Step::WaitForPod => {
                let message = "waiting for first consumer to be created before binding";
                self.recorder.normal(claim, "WaitForFirstConsumer", message);
                self.set_claim_phase(claim, "Pending").await
            }
            Step::WaitForProvisioner(name) => {
                let message = format!(
                    "Waiting for a volume to be created either by the external provisioner '{name}' or manually by the system \
                     administrator. If volume creation is delayed, please verify that the provisioner is running and \
                     correctly registered."
                );
                self.recorder.normal(claim, "ExternalProvisioning", message);
                if meta::annotation(&claim.metadata, STORAGE_PROVISIONER) != Some(&name) {
                    let annotations = json!({ STORAGE_PROVISIONER: name });
                    self.patch_claim(claim, json!({ "metadata": { "annotations": annotations } })).await?;
                }
                self.set_claim_phase(claim, "Pending").await
            }
            Step::NoFit => {
                let message = "no persistent volumes available for this claim and no storage class is set";
                self.recorder.normal(claim, "FailedBinding", message);
                self.set_claim_phase(claim, "Pending").await
            }
            Step::Lost => {
                let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
                self.recorder.warning(claim, "ClaimLost", message);
                self.set_claim_phase(claim, "Lost").await
            }
        }
    }

    async fn patch_volume(&self, name: &str, mut patch: Value) -> Result<(), Error> {
        let Some(volume) = self.volumes.find("", name) else { return Ok(()) };
        patch["metadata"]["resourceVersion"] = json!(volume.metadata.resource_version);
        self.volume_api().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    async fn patch_claim(&self, claim: &PersistentVolumeClaim, mut patch: Value) -> Result<(), Error> {
        patch["metadata"]["resourceVersion"] = json!(claim.metadata.resource_version);
        self.claim_api(claim).patch(&claim.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    async fn set_phase(&self, name: &str, phase: &str) -> Result<(), Error> {
        let Some(volume) = self.volumes.find("", name) else { return Ok(()) };
        let version = volume.metadata.resource_version.as_deref();
        control::write::merge_status(&self.volume_api(), name, version, &json!({ "phase": phase })).await?;
        Ok(())
    }

    async fn set_claim_phase(&self, claim: &PersistentVolumeClaim, phase: &str) -> Result<(), Error> {
        if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase) {
            return Ok(());
        }
        let version = claim.metadata.resource_version.as_deref();
        let status = json!({ "phase": phase });
        control::write::merge_status(&self.claim_api(claim), &claim.name_any(), version, &status).await?;
        Ok(())
    }

    async fn set_claim_bound(&self, claim: &PersistentVolumeClaim, volume: &str) -> Result<(), Error> {
        let Some(volume) = self.volumes.find("", volume) else { return Ok(()) };
        let spec = volume.spec.clone().unwrap_or_default();
        let status = json!({ "phase": "Bound", "accessModes": spec.access_modes, "capacity": spec.capacity });
        let version = claim.metadata.resource_version.as_deref();
        control::write::merge_status(&self.claim_api(claim), &claim.name_any(), version, &status).await?;
        Ok(())
    }

    async fn provision(&self, claim: &PersistentVolumeClaim, class: Option<&StorageClass>) -> Result<(), Error> {
        let Some(class) = class else { return Ok(()) };
        let volume = view::new_volume(claim, class);
        if ignore_already_exists(self.volume_api().create(&PostParams::default(), &volume).await)?.is_some() {
            let name = volume.name_any();
            info!(volume = name, "volume made");
            let message = format!("Successfully provisioned volume {name}");
            self.recorder.normal(claim, "ProvisioningSucceeded", message);
        }
        Ok(())
    }

    async fn sync_volume(&self, key: &ObjectKey) -> Result<(), Error> {
        let Some(volume) = self.volumes.get(key) else { return Ok(()) };
        let view = view::volume(&volume, None);
        let claim_is_there = match &view.claim {
            Some(held) => self.claim_is_there(held).await?,
            None => false,
        };
        let reclaim = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
        let ours = meta::annotation(&volume.metadata, PROVISIONED_BY) == Some(PROVISIONER);
        match decide::volume(&view, claim_is_there, ours && reclaim == Some("Delete")) {
            Fate::Stay => Ok(()),
            Fate::Available => self.set_phase(&key.name, "Available").await,
            Fate::Released => self.set_phase(&key.name, "Released").await,
            Fate::Delete => {
                control::write::delete_uid(&self.volume_api(), &key.name, meta::uid(&volume.metadata), None).await?;
                Ok(())
            }
        }
    }

    /// Asks the server before a volume is given up: the cache may not know the claim yet.
    async fn claim_is_there(&self, held: &decide::ClaimRef) -> Result<bool, Error> {
        let matches = |claim: &PersistentVolumeClaim| meta::uid(&claim.metadata) == held.uid;
        if self.claims.find(&held.namespace, &held.name).is_some_and(|claim| matches(&claim)) {
            return Ok(true);
        }
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &held.namespace);
        Ok(ignore_not_found(api.get(&held.name).await)?.is_some_and(|claim| matches(&claim)))
    }
}

fn claim_key(volume: &PersistentVolume) -> Option<Key> {
    let held = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some(Key::Claim(ObjectKey::new(held.namespace.as_deref()?, held.name.as_deref()?)))
}

#[async_trait]
impl Controller for VolumeBinder {
    type Key = Key;

    fn name(&self) -> &'static str {
        "volume_binder"
    }

    fn watches(&self, watches: &mut Watches<Key>) {
        let claims = self.claims.clone();
        watches.on(move |change: &Change<PersistentVolume>| {
            let volume = change.object();
            let mut keys = vec![Key::Volume(ObjectKey::of(&volume.metadata))];
            keys.extend(claim_key(volume));
            // A volume that nobody holds is news for all that wait.
            if volume.spec.as_ref().is_none_or(|spec| spec.claim_ref.is_none()) {
                let waiting = claims.list().into_iter().filter(|claim| view::is_unbound(claim));
                keys.extend(waiting.map(|claim| Key::Claim(ObjectKey::of(&claim.metadata))));
            }
            keys
        });
        watches.on(|change: &Change<PersistentVolumeClaim>| {
            let claim = change.object();
            let volume =
                claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty());
            let volume = volume.map(|name| Key::Volume(ObjectKey::cluster(name)));
            [Key::Claim(ObjectKey::of(&claim.metadata))].into_iter().chain(volume).collect::<Vec<_>>()
        });
        let claims = self.claims.clone();
        watches.on(move |_: &Change<StorageClass>| {
            let waiting = claims.list().into_iter().filter(|claim| view::is_unbound(claim));
            waiting.map(|claim| Key::Claim(ObjectKey::of(&claim.metadata))).collect::<Vec<_>>()
        });
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue, Error> {
        match key {
            Key::Claim(key) => self.sync_claim(key).await?,
            Key::Volume(key) => self.sync_volume(key).await?,
        }
        Ok(Requeue::No)
    }
}
