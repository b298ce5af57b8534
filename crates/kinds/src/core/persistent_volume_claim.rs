//! PersistentVolumeClaim.

use machinery::Object;
use serde_json::{Value, json};

use crate::columns::{AGE, NAME, UNSET, access_modes, scalar, scalar_or};
use crate::def::{Column, KindDef, Strategy, Subresource};
use crate::tree::{Map, child_or_new, default_text};

/// The old way to name a storage class.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub static PERSISTENT_VOLUME_CLAIM: KindDef = KindDef {
    kind: "PersistentVolumeClaim",
    resource: "persistentvolumeclaims",
    singular: "persistentvolumeclaim",
    short_names: &["pvc"],
    schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Status", "Phase of the claim", |claim| phase(claim).into()),
        Column::string("Volume", "Volume it is bound to", |claim| claim.str(&["spec", "volumeName"]).into()),
        Column::string("Capacity", "Size of the volume", |claim| of_bound(claim, capacity)),
        Column::string("Access Modes", "How the volume may be mounted", |claim| {
            of_bound(claim, |claim| access_modes(claim.list(&["status", "accessModes"])))
        }),
        Column::string("StorageClass", "Class of storage", |claim| storage_class(claim).into()),
        Column::string("VolumeAttributesClass", "Class of the volume's attributes", |claim| {
            scalar_or(claim.get(&["spec"]), "volumeAttributesClassName", UNSET)
        }),
        AGE,
        Column::string("VolumeMode", "Filesystem or block device", |claim| {
            scalar_or(claim.get(&["spec"]), "volumeMode", UNSET)
        })
        .wide(),
    ],
    strategy: Strategy {
        default: default_claim,
        prepare_create: |claim| claim.set(&["status"], json!({"phase": "Pending"})),
        generation: false,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn default_claim(claim: &mut Object) {
    default_claim_map(&mut claim.0);
}

/// Defaults of a claim, also where a StatefulSet holds it as a template.
pub fn default_claim_map(claim: &mut Map) {
    default_claim_spec(child_or_new(claim, "spec"));
    default_text(child_or_new(claim, "status"), "phase", "Pending");
}

pub fn default_claim_spec(spec: &mut Map) {
    default_text(spec, "volumeMode", "Filesystem");
    child_or_new(spec, "resources");
}

fn phase(claim: &Object) -> &str {
    if claim.is_deleting() { "Terminating" } else { claim.str(&["status", "phase"]) }
}

/// Cells that are empty until a volume is bound.
fn of_bound(claim: &Object, text: fn(&Object) -> String) -> Value {
    match claim.str(&["spec", "volumeName"]) {
        "" => "".into(),
        _ => text(claim).into(),
    }
}

fn capacity(claim: &Object) -> String {
    claim.get(&["status", "capacity", "storage"]).map_or_else(|| "0".to_owned(), scalar)
}

/// The storage class of a claim or a volume, by annotation or by field.
pub fn storage_class(object: &Object) -> String {
    let by_annotation = object.annotation(CLASS_ANNOTATION);
    by_annotation.unwrap_or_else(|| object.str(&["spec", "storageClassName"])).to_owned()
}
