//! From claims, volumes and classes to views, and from a claim to a new volume.

use std::collections::{BTreeMap, BTreeSet};

use control::meta::{self, Labels};
use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, ObjectReference, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use machinery::quantity::Quantity;

use super::decide::{ClaimRef, ClaimView, Provisioner, VolumeView};
use super::{PROVISIONED_BY, PROVISIONER, SELECTED_NODE};

/// Where our volumes lie on a node, unless the class's parameter `path` says otherwise.
const BASE_PATH: &str = "/var/lib/keelson/storage";

fn bytes(list: Option<&BTreeMap<String, ApiQuantity>>) -> i128 {
    let storage = list.and_then(|list| list.get("storage"));
    storage.and_then(|text| Quantity::parse(&text.0).ok()).map_or(0, Quantity::value)
}

fn modes(list: Option<&Vec<String>>) -> BTreeSet<String> {
    list.into_iter().flatten().cloned().collect()
}

pub fn is_unbound(claim: &PersistentVolumeClaim) -> bool {
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    volume.is_none_or(str::is_empty) && !meta::is_terminating(&claim.metadata)
}

pub fn claim(claim: &PersistentVolumeClaim, class: Option<&StorageClass>) -> ClaimView {
    let spec = claim.spec.clone().unwrap_or_default();
    let waits = class.and_then(|class| class.volume_binding_mode.as_deref()) == Some("WaitForFirstConsumer");
    ClaimView {
        at: ClaimRef {
            namespace: claim.namespace().unwrap_or_default(),
            name: claim.name_any(),
            uid: claim.uid().unwrap_or_default(),
        },
        class: spec.storage_class_name.unwrap_or_default(),
        bytes: bytes(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref())),
        modes: modes(spec.access_modes.as_ref()),
        block: spec.volume_mode.as_deref() == Some("Block"),
        volume: spec.volume_name.unwrap_or_default(),
        phase: claim.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default(),
        deleting: meta::is_terminating(&claim.metadata),
        waits_for_pod: waits && meta::annotation(&claim.metadata, SELECTED_NODE).is_none(),
        provisioner: match class.map(|class| class.provisioner.as_str()) {
            None | Some("kubernetes.io/no-provisioner") => Provisioner::None,
            Some(PROVISIONER) => Provisioner::Ours,
            Some(other) => Provisioner::External(other.to_owned()),
        },
    }
}

/// `claim`: the one whose selector the volume is held against.
pub fn volume(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> VolumeView {
    let spec = volume.spec.clone().unwrap_or_default();
    let selector = claim.and_then(|claim| claim.spec.as_ref()?.selector.as_ref());
    let selected = selector.is_none_or(|selector| {
        Labels::compile(Some(selector)).is_ok_and(|selector| selector.matches(&volume.metadata))
    });
    VolumeView {
        name: volume.name_any(),
        class: spec.storage_class_name.unwrap_or_default(),
        bytes: bytes(spec.capacity.as_ref()),
        modes: modes(spec.access_modes.as_ref()),
        block: spec.volume_mode.as_deref() == Some("Block"),
        selected,
        claim: spec.claim_ref.map(|held| ClaimRef {
            namespace: held.namespace.unwrap_or_default(),
            name: held.name.unwrap_or_default(),
            uid: held.uid.unwrap_or_default(),
        }),
        phase: volume.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default(),
        deleting: meta::is_terminating(&volume.metadata),
    }
}

pub fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    control::events::reference(claim)
}

/// A directory on the claim's node, or on any if the class binds at once.
pub fn new_volume(claim: &PersistentVolumeClaim, class: &StorageClass) -> PersistentVolume {
    let spec = claim.spec.clone().unwrap_or_default();
    let name = format!("pvc-{}", claim.uid().unwrap_or_default());
    let base = class.parameters.as_ref().and_then(|parameters| parameters.get("path"));
    let base = base.map_or(BASE_PATH, String::as_str);
    let directory = format!("{base}/{name}_{}_{}", claim.namespace().unwrap_or_default(), claim.name_any());
    let node = meta::annotation(&claim.metadata, SELECTED_NODE);
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name),
            annotations: Some(BTreeMap::from([(PROVISIONED_BY.to_owned(), PROVISIONER.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity: spec.resources.and_then(|resources| resources.requests),
            claim_ref: Some(reference(claim)),
            host_path: Some(HostPathVolumeSource { path: directory, type_: Some("DirectoryOrCreate".to_owned()) }),
            node_affinity: node.map(on_node),
            persistent_volume_reclaim_policy: Some(class.reclaim_policy.clone().unwrap_or_else(|| "Delete".to_owned())),
            storage_class_name: class.metadata.name.clone(),
            volume_mode: spec.volume_mode,
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}

fn on_node(node: &str) -> VolumeNodeAffinity {
    let requirement = NodeSelectorRequirement {
        key: "kubernetes.io/hostname".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_expressions: Some(vec![requirement]), match_fields: None };
    VolumeNodeAffinity { required: Some(NodeSelector { node_selector_terms: vec![term] }) }
}
