//! PersistentVolume.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::dns1123_subdomain;
use serde_json::{Value, json};

use super::persistent_volume_claim::{VOLUME_MODES, storage_class, validate_access_modes};
use super::pod::validate::validate_node_selector;
use super::pod::validate::volumes::{validate_host_path, validate_nfs};
use crate::check::{At, immutable, non_negative_quantity, one_of, optional_name, required, same};
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
        validate,
        validate_update,
        generation: false,
        returns_deleted: true,
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

/// Where the data of a volume may be.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];
const RECLAIM_POLICIES: &[&str] = &["Delete", "Recycle", "Retain"];

fn validate(volume: &Object) -> ErrorList {
    let spec = At::field(volume, "spec");
    let mut errors = validate_access_modes(&spec.child("accessModes"));
    errors.extend(validate_capacity(&spec.child("capacity")));
    errors.extend(one_of(&spec.child("persistentVolumeReclaimPolicy"), RECLAIM_POLICIES));
    errors.extend(validate_source(&spec));
    errors.extend(optional_name(&spec.child("storageClassName"), dns1123_subdomain));
    errors.extend(one_of(&spec.child("volumeMode"), VOLUME_MODES));
    let affinity = spec.child("nodeAffinity");
    if affinity.is_set() && !affinity.child("required").is_set() {
        errors.push(affinity.child("required").required("must specify required node constraints"));
    } else if affinity.is_set() {
        errors.extend(validate_node_selector(&affinity.child("required")));
    } else if spec.child("local").is_set() {
        let text = "Local volume requires node affinity";
        errors.push(machinery::field::Error::required(
            &machinery::field::Path::new("metadata").child("annotations"),
            text,
        ));
    }
    errors
}

fn validate_capacity(capacity: &At) -> ErrorList {
    if capacity.is_empty() {
        return vec![capacity.required("")];
    }
    let entries = capacity.entries();
    if entries.len() != 1 || !capacity.child("storage").is_set() {
        return vec![capacity.not_supported(&["storage"])];
    }
    entries.iter().filter_map(|(_, amount)| non_negative_quantity(amount)).collect()
}

fn validate_source(spec: &At) -> ErrorList {
    let set = spec.set_children(&SOURCES);
    let Some((first, others)) = set.split_first() else {
        return vec![spec.required("must specify a volume type")];
    };
    let mut errors: ErrorList =
        others.iter().map(|at| at.forbidden("may not specify more than 1 volume type")).collect();
    errors.extend(match first.path.to_string().rsplit('.').next().unwrap_or_default() {
        "hostPath" => validate_host_path(first),
        "nfs" => validate_nfs(first),
        "local" => required(&first.child("path")).into_iter().collect(),
        "csi" => ["driver", "volumeHandle"].iter().filter_map(|field| required(&first.child(field))).collect(),
        _ => ErrorList::new(),
    });
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let mut errors = ErrorList::new();
    if SOURCES.iter().any(|source| !same(spec.child(source).value, was.child(source).value)) {
        let path = spec.path.child("persistentvolumesource");
        let text = "spec.persistentvolumesource is immutable after creation";
        errors.push(machinery::field::Error::forbidden(&path, text));
    }
    errors.extend(immutable(&spec.child("volumeMode"), &was.child("volumeMode")));
    if was.child("nodeAffinity").is_set() {
        errors.extend(immutable(&spec.child("nodeAffinity"), &was.child("nodeAffinity")));
    }
    errors
}
