//! PersistentVolume.

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{dns1123_label, dns1123_subdomain};
use serde_json::{Value, json};

use super::persistent_volume_claim::{VOLUME_MODES, storage_class, validate_access_modes};
use super::pod::defaults::default_source;
use super::pod::validate::drivers::{Owner, validate_driver, validate_driver_name, validate_local_folder};
use super::pod::validate::validate_node_selector;
use super::pod::validate::volumes::validate_host_path;
use super::pod::warnings::{OLD_VOLUMES, of_node_term};
use crate::check::{At, immutable, one_of, optional_name, positive_quantity, required, required_name, same};
use crate::columns::{AGE, NAME, UNSET, access_modes, scalar, scalar_or};
use crate::def::Description::{Field, Text};
use crate::def::{Column, KindDef, Scope, Strategy, Subresource};
use crate::tree::{Map, child_or_new, default_text};

pub static PERSISTENT_VOLUME: KindDef = KindDef {
    kind: "PersistentVolume",
    resource: "persistentvolumes",
    singular: "persistentvolume",
    short_names: &["pv"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.core.v1.PersistentVolume",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Capacity", Field("spec.capacity"), |volume| {
            volume.get(&["spec", "capacity", "storage"]).map_or_else(|| "0".to_owned(), scalar).into()
        }),
        Column::string("Access Modes", Field("spec.accessModes"), |volume| {
            access_modes(volume.list(&["spec", "accessModes"])).into()
        }),
        Column::string("Reclaim Policy", Field("spec.persistentVolumeReclaimPolicy"), |volume| {
            volume.str(&["spec", "persistentVolumeReclaimPolicy"]).into()
        }),
        Column::string("Status", Field("status.phase"), |volume| {
            if volume.is_deleting() { "Terminating" } else { volume.str(&["status", "phase"]) }.into()
        }),
        Column::string("Claim", Field("spec.claimRef"), claim),
        Column::string("StorageClass", Text("StorageClass of the pv"), |volume| storage_class(volume).into()),
        Column::string("VolumeAttributesClass", Text("VolumeAttributesClass of the pv"), |volume| {
            scalar_or(volume.get(&["spec"]), "volumeAttributesClassName", UNSET)
        }),
        Column::string("Reason", Field("status.reason"), |volume| volume.str(&["status", "reason"]).into()),
        AGE,
        Column::string("VolumeMode", Field("spec.volumeMode"), |volume| {
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
        warnings,
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
    default_source(spec);
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
const CSI_SECRETS: [&str; 4] =
    ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"];
/// The old names of nodes' labels, which a volume may exchange for the new ones.
const RENAMED_LABELS: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

fn validate(volume: &Object) -> ErrorList {
    validate_volume_spec(&At::field(volume, "spec"), volume.name())
}

fn validate_volume_spec(spec: &At, name: &str) -> ErrorList {
    let policy = spec.child("persistentVolumeReclaimPolicy");
    let modes = spec.child("accessModes");
    let mut errors: ErrorList = required(&modes).into_iter().collect();
    errors.extend(validate_access_modes(&modes));
    errors.extend(validate_capacity(&spec.child("capacity")));
    errors.extend(one_of(&policy, RECLAIM_POLICIES));
    errors.extend(validate_affinity(&spec.child("nodeAffinity")));
    errors.extend(validate_source(spec, name));
    let root = spec.child("hostPath").child("path").text().split('/').all(|part| matches!(part, "" | "."));
    if spec.child("hostPath").is_set() && root && policy.text() == "Recycle" {
        errors.push(policy.forbidden("may not be 'recycle' for a hostPath mount of '/'"));
    }
    errors.extend(optional_name(&spec.child("storageClassName"), dns1123_subdomain));
    errors.extend(one_of(&spec.child("volumeMode"), VOLUME_MODES));
    let class = spec.child("volumeAttributesClassName");
    if class.is_set() {
        errors.extend(match class.text() {
            "" => vec![class.required("an empty string is disallowed")],
            _ => class.check(dns1123_subdomain),
        });
        let csi = spec.child("csi");
        let text = "has to be specified when using volumeAttributesClassName";
        errors.extend((!csi.is_set()).then(|| csi.required(text)));
    }
    errors
}

fn validate_capacity(capacity: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    if capacity.is_empty() {
        errors.push(capacity.required(""));
    }
    let entries = capacity.entries();
    if entries.len() != 1 || !capacity.child("storage").is_set() {
        errors.push(capacity.not_supported(&["storage"]));
    }
    errors.extend(entries.iter().filter_map(|(_, amount)| positive_quantity(amount)));
    errors
}

fn validate_affinity(affinity: &At) -> ErrorList {
    let required = affinity.child("required");
    match (affinity.is_set(), required.is_set()) {
        (true, true) => validate_node_selector(&required),
        (true, false) => vec![required.required("must specify required node constraints")],
        _ => ErrorList::new(),
    }
}

fn validate_source(spec: &At, name: &str) -> ErrorList {
    let set = spec.set_children(&SOURCES);
    let Some((first, others)) = set.split_first() else {
        return vec![spec.required("must specify a volume type")];
    };
    let mut errors = match first.name().as_str() {
        "hostPath" => validate_host_path(first),
        "local" => {
            let mut errors = validate_local_folder(first);
            let affinity = spec.child("nodeAffinity");
            let text = "Local volume requires node affinity";
            errors.extend((!affinity.is_set()).then(|| affinity.required(text)));
            errors
        }
        "csi" => validate_csi(first),
        _ => validate_driver(first, Owner::PersistentVolume(name)),
    };
    errors.extend(others.iter().map(|at| at.forbidden("may not specify more than 1 volume type")));
    errors
}

fn validate_csi(source: &At) -> ErrorList {
    let mut errors = validate_driver_name(&source.child("driver"));
    errors.extend(required(&source.child("volumeHandle")));
    for secret in source.set_children(&CSI_SECRETS) {
        errors.extend(required_name(&secret.child("name"), dns1123_subdomain));
        errors.extend(required_name(&secret.child("namespace"), dns1123_label));
    }
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let mut errors = ErrorList::new();
    if SOURCES.iter().any(|source| !same_source(&spec.child(source), &was.child(source))) {
        let path = spec.path.child("persistentvolumesource");
        errors.push(Error::forbidden(&path, "spec.persistentvolumesource is immutable after creation"));
    }
    // Upstream leaves out where these two are.
    let top = |field: &str| spec.child(field).at(Path::new(field));
    errors.extend(immutable(&top("volumeMode"), &was.child("volumeMode")));
    let (affinity, before) = (top("nodeAffinity"), was.child("nodeAffinity"));
    if before.is_set() && !same(affinity.value, before.value) && !same(affinity.value, &with_new_labels(before.value)) {
        errors.push(affinity.invalid("field is immutable, except for updating from beta label to GA"));
    }
    let class = spec.child("volumeAttributesClassName");
    if was.child("volumeAttributesClassName").is_set() && !class.is_set() {
        errors.push(class.forbidden("update from non-nil value to nil is forbidden"));
    }
    errors
}

/// The secret for growing a volume may be added later.
fn same_source(now: &At, was: &At) -> bool {
    let mut now_value = now.value.clone();
    if !was.child("controllerExpandSecretRef").is_set() {
        now_value.as_object_mut().into_iter().for_each(|source| drop(source.remove("controllerExpandSecretRef")));
    }
    same(&now_value, was.value)
}

fn with_new_labels(affinity: &Value) -> Value {
    match affinity {
        Value::Object(map) => {
            map.iter().map(|(field, value)| (field.clone(), with_new_labels(value))).collect::<Map>().into()
        }
        Value::Array(items) => items.iter().map(with_new_labels).collect(),
        Value::String(text) => {
            let renamed = RENAMED_LABELS.iter().find(|(old, _)| old == text).map(|(_, new)| Value::from(*new));
            renamed.unwrap_or_else(|| affinity.clone())
        }
        _ => affinity.clone(),
    }
}

/// upstream: pkg/api/persistentvolume
fn warnings(volume: &Object) -> Vec<String> {
    let spec = At::field(volume, "spec");
    let terms = spec.child("nodeAffinity").child("required").child("nodeSelectorTerms").items();
    let mut warnings: Vec<String> = terms.iter().flat_map(of_node_term).collect();
    if volume.annotation(super::persistent_volume_claim::CLASS_ANNOTATION).is_some() {
        let key = Path::new("metadata").child("annotations").key(super::persistent_volume_claim::CLASS_ANNOTATION);
        warnings.push(format!("{key}: deprecated since v1.8; use \"storageClassName\" attribute instead"));
    }
    if spec.child("persistentVolumeReclaimPolicy").text() == "Recycle" {
        let path = spec.child("persistentVolumeReclaimPolicy").path;
        warnings.push(format!("{path}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."));
    }
    let old = OLD_VOLUMES.iter().map(|(source, text)| (spec.child(source), text));
    warnings.extend(old.filter(|(at, _)| at.is_set()).map(|(at, text)| format!("{}: {text}", at.path)));
    warnings
}
