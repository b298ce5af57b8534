//! PersistentVolume.

use machinery::Object;
use serde_json::{Value, json};

use super::persistent_volume_claim::storage_class;
use crate::columns::{AGE, NAME, UNSET, access_modes, scalar, scalar_or};
use crate::def::{Column, KindDef, Scope, SelectableField, Strategy, Subresource};
use crate::tree::{child, child_or_new, default, default_text};

pub static PERSISTENT_VOLUME: KindDef = KindDef {
    kind: "PersistentVolume",
    resource: "persistentvolumes",
    singular: "persistentvolume",
    short_names: &["pv"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.core.v1.PersistentVolume",
    subresources: &[Subresource::Status],
    selectable_fields: &[SelectableField { name: "name", value: |volume| volume.name().to_owned() }],
    columns: &[
        NAME,
        Column::string("Capacity", "Size of the volume", |volume| {
            volume.get(&["spec", "capacity", "storage"]).map_or_else(|| "0".to_owned(), scalar).into()
        }),
        Column::string("Access Modes", "How it may be mounted", |volume| {
            access_modes(volume.list(&["spec", "accessModes"])).into()
        }),
        Column::string("Reclaim Policy", "What happens to it when its claim goes", |volume| {
            volume.str(&["spec", "persistentVolumeReclaimPolicy"]).into()
        }),
        Column::string("Status", "Phase of the volume", |volume| {
            if volume.is_deleting() { "Terminating" } else { volume.str(&["status", "phase"]) }.into()
        }),
        Column::string("Claim", "Claim it is bound to", claim),
        Column::string("StorageClass", "Class of storage", |volume| storage_class(volume).into()),
        Column::string("VolumeAttributesClass", "Class of the volume's attributes", |volume| {
            scalar_or(volume.get(&["spec"]), "volumeAttributesClassName", UNSET)
        }),
        Column::string("Reason", "Why it is in this phase", |volume| volume.str(&["status", "reason"]).into()),
        AGE,
        Column::string("VolumeMode", "Filesystem or block device", |volume| {
            scalar_or(volume.get(&["spec"]), "volumeMode", UNSET)
        })
        .wide(),
    ],
    strategy: Strategy {
        default: default_volume,
        prepare_create: |volume| {
            let now = clock::format_time(clock::now());
            volume.set(&["status"], json!({"phase": "Pending", "lastPhaseTransitionTime": now}));
        },
        prepare_status_update,
        generation: false,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn default_volume(volume: &mut Object) {
    let spec = child_or_new(&mut volume.0, "spec");
    default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
    default_text(spec, "volumeMode", "Filesystem");
    child(spec, "hostPath").into_iter().for_each(|path| default(path, "type", ""));
    child(spec, "iscsi").into_iter().for_each(|iscsi| default_text(iscsi, "iscsiInterface", "default"));
    default_text(child_or_new(&mut volume.0, "status"), "phase", "Pending");
}

/// A change of phase is dated unless its writer dates it.
fn prepare_status_update(new: &mut Object, old: &Object) {
    crate::def::keep_all_but_status(new, old);
    let field = ["status", "lastPhaseTransitionTime"];
    let changed = new.str(&["status", "phase"]) != old.str(&["status", "phase"]);
    if changed && new.str(&field) == old.str(&field) {
        new.set(&field, clock::format_time(clock::now()));
    } else if let (None, Some(at)) = (new.get(&field), old.get(&field)) {
        new.set(&field, at.clone());
    }
}

fn claim(volume: &Object) -> Value {
    match volume.str(&["spec", "claimRef", "name"]) {
        "" => "".into(),
        name => format!("{}/{name}", volume.str(&["spec", "claimRef", "namespace"])).into(),
    }
}
