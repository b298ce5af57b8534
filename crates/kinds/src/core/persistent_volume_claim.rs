//! PersistentVolumeClaim.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::validate_label_selector;
use serde_json::{Value, json};

use crate::check::{At, non_negative_quantity, one_of, quantity, same};
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
        validate,
        validate_update,
        generation: false,
        returns_deleted: true,
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

pub const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
/// What a claim may change once it is made, when it is bound.
const CHANGEABLE_WHEN_BOUND: [&str; 2] = ["resources", "volumeAttributesClassName"];

fn validate(claim: &Object) -> ErrorList {
    validate_claim_spec(&At::field(claim, "spec"))
}

pub fn validate_claim_spec(spec: &At) -> ErrorList {
    let mut errors = validate_access_modes(&spec.child("accessModes"));
    let selector = spec.child("selector");
    if selector.is_set() {
        errors.extend(validate_label_selector(selector.value, &selector.path));
    }
    let size = spec.child("resources").child("requests").child("storage");
    if !size.is_set() {
        let path = spec.child("resources").path.key("storage");
        errors.push(machinery::field::Error::required(&path, ""));
    } else if quantity(&size).is_some_and(|size| size.is_zero()) {
        errors.push(size.invalid("must be greater than zero"));
    } else {
        errors.extend(non_negative_quantity(&size));
    }
    errors.extend(one_of(&spec.child("volumeMode"), VOLUME_MODES));
    errors
}

/// Access modes of a claim or a volume.
pub fn validate_access_modes(modes: &At) -> ErrorList {
    if modes.is_empty() {
        return vec![modes.required("at least 1 access mode is required")];
    }
    let items = modes.items();
    let mut errors: ErrorList = items.iter().filter_map(|mode| one_of(mode, ACCESS_MODES)).collect();
    if items.len() > 1 && items.iter().any(|mode| mode.text() == "ReadWriteOncePod") {
        errors.push(modes.forbidden("may not use ReadWriteOncePod with other access modes"));
    }
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let bound = old.str(&["status", "phase"]) == "Bound";
    let binding = was.child("volumeName").is_empty();
    let fixed = |spec: &At| {
        let mut fixed = spec.value.as_object().cloned().unwrap_or_default();
        fixed.retain(|field, _| {
            let changeable = bound && CHANGEABLE_WHEN_BOUND.contains(&field.as_str());
            let first_binding = binding && field == "volumeName";
            !changeable && !first_binding
        });
        Value::Object(fixed)
    };
    let mut errors = ErrorList::new();
    if !same(&fixed(&spec), &fixed(&was)) {
        let text =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(spec.forbidden(text));
    }
    let (wanted, held) =
        (quantity(&requested(&spec)), quantity(&At::field(old, "status").child("capacity").child("storage")));
    let shrinks = quantity(&requested(&was)).zip(wanted).is_some_and(|(before, now)| now < before);
    if shrinks && held.zip(wanted).is_none_or(|(held, wanted)| wanted < held) {
        errors.push(requested(&spec).forbidden("field can not be less than status.capacity"));
    }
    errors
}

fn requested<'a>(spec: &At<'a>) -> At<'a> {
    spec.child("resources").child("requests").child("storage")
}
