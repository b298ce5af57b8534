//! The pods and claims of an ordinal.

use std::collections::BTreeMap;

use control::meta;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;

use crate::history::REVISION_LABEL;

const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The ordinal of a pod of `set`, by its name.
pub fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let name = pod.metadata.name.as_deref()?;
    let digits = name.strip_prefix(set.metadata.name.as_deref()?)?.strip_prefix('-')?;
    let ordinal: i32 = digits.parse().ok()?;
    // `web-01` is not a pod of ours.
    (ordinal.to_string() == digits).then_some(ordinal)
}

pub fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.name_any())
}

/// Labels that every pod of this ordinal has.
pub fn identity(set: &StatefulSet, ordinal: i32) -> [(String, String); 2] {
    [(POD_NAME_LABEL.to_owned(), pod_name(set, ordinal)), (POD_INDEX_LABEL.to_owned(), ordinal.to_string())]
}

fn spec(set: &StatefulSet) -> StatefulSetSpec {
    set.spec.clone().unwrap_or_default()
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}", template.name_any(), pod_name(set, ordinal))
}

pub fn identity_matches(set: &StatefulSet, pod: &Pod, ordinal: i32) -> bool {
    identity(set, ordinal).iter().all(|(name, value)| meta::label(&pod.metadata, name) == Some(value))
}

pub fn new_pod(set: &StatefulSet, template: &PodTemplateSpec, ordinal: i32, revision: &str) -> Pod {
    let name = pod_name(set, ordinal);
    let owner = meta::controller_ref(set);
    let mut pod = crate::podset::from_template(template, &set.namespace().unwrap_or_default(), &name, owner);
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(name.clone());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.extend(identity(set, ordinal));
    labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = self::spec(set).service_name;
    spec.volumes = Some(volumes(set, spec.volumes.take().unwrap_or_default(), ordinal));
    pod
}

/// The template's volumes, and a claim for each claim template in place of one of the same name.
fn volumes(set: &StatefulSet, given: Vec<Volume>, ordinal: i32) -> Vec<Volume> {
    let templates = spec(set).volume_claim_templates.unwrap_or_default();
    let claims = templates.iter().map(|template| Volume {
        name: template.name_any(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(set, template, ordinal),
            read_only: Some(false),
        }),
        ..Volume::default()
    });
    let names: Vec<String> = templates.iter().map(ResourceExt::name_any).collect();
    claims.chain(given.into_iter().filter(|volume| !names.contains(&volume.name))).collect()
}

/// The claims of an ordinal, as they should be made.
pub fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let spec = spec(set);
    let selector: BTreeMap<String, String> = spec.selector.match_labels.clone().unwrap_or_default();
    let templates = spec.volume_claim_templates.unwrap_or_default().into_iter();
    let claims = templates.map(|template| {
        let mut claim = template.clone();
        claim.metadata.name = Some(claim_name(set, &template, ordinal));
        claim.metadata.namespace = set.namespace();
        claim.metadata.labels.get_or_insert_default().extend(selector.clone());
        claim.metadata.owner_references = claim_owner(set).map(|owner| vec![owner]);
        claim.status = None;
        claim
    });
    claims.collect()
}

/// Claims outlive their set unless its retention policy says otherwise.
fn claim_owner(set: &StatefulSet) -> Option<OwnerReference> {
    let policy = set.spec.as_ref()?.persistent_volume_claim_retention_policy.as_ref()?;
    (policy.when_deleted.as_deref() == Some("Delete")).then(|| OwnerReference {
        controller: None,
        block_owner_deletion: None,
        ..meta::controller_ref(set)
    })
}

/// Whether the claims of a pod that is scaled away go with it.
pub fn deletes_claims_when_scaled(set: &StatefulSet) -> bool {
    let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    policy.and_then(|policy| policy.when_scaled.as_deref()) == Some("Delete")
}
