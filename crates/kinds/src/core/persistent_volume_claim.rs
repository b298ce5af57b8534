//! PersistentVolumeClaim.

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::{
    dns1123_label, dns1123_subdomain, validate_annotations, validate_label_selector, validate_labels,
};
use serde_json::{Value, json};

use crate::check::{At, IMMUTABLE, immutable, one_of, optional_name, positive_quantity, quantity, required, same};
use crate::columns::{AGE, NAME, UNSET, access_modes, scalar, scalar_or};
use crate::def::Description::{Field, Text};
use crate::def::{Column, KindDef, Strategy, Subresource};
use crate::tree::{Map, child_or_new, default_text};

/// The old way to name a storage class.
pub const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub static PERSISTENT_VOLUME_CLAIM: KindDef = KindDef {
    kind: "PersistentVolumeClaim",
    resource: "persistentvolumeclaims",
    singular: "persistentvolumeclaim",
    short_names: &["pvc"],
    schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Status", Field("status.phase"), |claim| phase(claim).into()),
        Column::string("Volume", Field("spec.volumeName"), |claim| claim.str(&["spec", "volumeName"]).into()),
        Column::string("Capacity", Field("status.capacity"), |claim| of_bound(claim, capacity)),
        Column::string("Access Modes", Field("status.accessModes"), |claim| {
            of_bound(claim, |claim| access_modes(claim.list(&["status", "accessModes"])))
        }),
        Column::string("StorageClass", Text("StorageClass of the pvc"), |claim| storage_class(claim).into()),
        Column::string("VolumeAttributesClass", Text("VolumeAttributesClass of the pvc"), |claim| {
            scalar_or(claim.get(&["spec"]), "volumeAttributesClassName", UNSET)
        }),
        AGE,
        Column::string("VolumeMode", Field("spec.volumeMode"), |claim| {
            scalar_or(claim.get(&["spec"]), "volumeMode", UNSET)
        })
        .wide(),
    ],
    strategy: Strategy {
        default: default_claim,
        prepare_create: |claim| claim.set(&["status"], json!({"phase": "Pending"})),
        validate,
        validate_update,
        validate_status_update,
        warnings,
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
const CLAIM: &str = "PersistentVolumeClaim";

fn validate(claim: &Object) -> ErrorList {
    validate_claim_spec(&At::field(claim, "spec"))
}

/// A claim that is made later, with labels and annotations alone.
pub fn validate_claim_template(template: &At) -> ErrorList {
    let metadata = template.child("metadata");
    let (labels, annotations) = (metadata.child("labels"), metadata.child("annotations"));
    let mut errors = validate_annotations(&annotations.strings(), &annotations.path);
    errors.extend(validate_labels(&labels.strings(), &labels.path));
    let others = metadata.entries().into_iter().filter(|(field, _)| !matches!(*field, "labels" | "annotations"));
    let denied = others.map(|(field, _)| metadata.child(field)).filter(|at| !at.is_empty());
    errors.extend(denied.map(|at| at.forbidden("cannot be set")));
    errors.extend(validate_claim_spec(&template.child("spec")));
    errors
}

pub fn validate_claim_spec(spec: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    if spec.child("accessModes").is_empty() {
        errors.push(spec.child("accessModes").required("at least 1 access mode is required"));
    }
    let selector = spec.child("selector");
    errors.extend(validate_label_selector(selector.value, &selector.path));
    errors.extend(validate_access_modes(&spec.child("accessModes")));
    let resources = spec.child("resources");
    let size = resources.child("requests").child("storage").at(resources.path.key("storage"));
    errors.extend(if size.is_set() { positive_quantity(&size) } else { Some(size.required("")) });
    errors.extend(optional_name(&spec.child("storageClassName"), dns1123_subdomain));
    errors.extend(one_of(&spec.child("volumeMode"), VOLUME_MODES));
    errors.extend(validate_data_sources(spec));
    errors.extend(optional_name(&spec.child("volumeAttributesClassName"), dns1123_subdomain));
    errors
}

/// What a new volume is filled from.
fn validate_data_sources(spec: &At) -> ErrorList {
    let (source, reference) = (spec.child("dataSource"), spec.child("dataSourceRef"));
    let mut errors = validate_data_source(&source);
    errors.extend(validate_data_source(&reference));
    errors.extend(optional_name(&reference.child("namespace"), dns1123_label));
    if source.is_set() && reference.is_set() {
        let alike =
            ["apiGroup", "kind", "name"].iter().all(|field| source.child(field).value == reference.child(field).value);
        let shown = source.path.to_string();
        if !reference.child("namespace").is_empty() {
            let text = "may not be specified when dataSourceRef.namespace is specified";
            errors.push(Error::invalid(&spec.path, shown, text));
        } else if !alike {
            errors.push(Error::invalid(&spec.path, shown, "must match dataSourceRef"));
        }
    }
    errors
}

fn validate_data_source(source: &At) -> ErrorList {
    if !source.is_set() {
        return ErrorList::new();
    }
    let (kind, group) = (source.child("kind"), source.child("apiGroup"));
    let mut errors: ErrorList = ["name", "kind"].iter().filter_map(|field| required(&source.child(field))).collect();
    if group.is_empty() && kind.text() != CLAIM {
        let text = format!("must be '{CLAIM}' when referencing the default apiGroup");
        errors.push(Error::invalid(&source.path, kind.text(), text));
    }
    errors.extend(optional_name(&group, dns1123_subdomain));
    errors
}

/// Access modes of a claim or a volume.
pub fn validate_access_modes(modes: &At) -> ErrorList {
    let items = modes.items();
    let unknown = items.iter().filter(|mode| !ACCESS_MODES.contains(&mode.text()));
    let mut errors: ErrorList =
        unknown.map(|mode| Error::not_supported(&modes.path, mode.text(), ACCESS_MODES)).collect();
    let is_alone = |mode: &At| mode.text() == "ReadWriteOncePod";
    if items.iter().any(is_alone) && !items.iter().all(is_alone) {
        errors.push(modes.forbidden("may not use ReadWriteOncePod with other access modes"));
    }
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let bound = new.str(&["status", "phase"]) == "Bound";
    let mut errors = ErrorList::new();
    let annotation = |claim: &Object| claim.annotation(CLASS_ANNOTATION).unwrap_or_default().to_owned();
    let class = spec.child("storageClassName");
    let moved = !was.child("storageClassName").is_set()
        && class.is_set()
        && (old.annotation(CLASS_ANNOTATION).is_none() || annotation(old) == class.text());
    if annotation(new) != annotation(old) && !(moved && annotation(new).is_empty()) {
        let path = Path::new("metadata").child("annotations").child(CLASS_ANNOTATION);
        errors.push(Error::invalid(&path, annotation(new), IMMUTABLE));
    }
    let mut munged = spec.value.as_object().cloned().unwrap_or_default();
    let mut restore = |field: &str, wanted: bool| {
        if wanted {
            munged.insert(field.to_owned(), was.child(field).value.clone());
        }
    };
    restore("volumeName", was.child("volumeName").is_empty());
    restore("storageClassName", moved);
    restore("volumeAttributesClassName", bound && spec.child("volumeAttributesClassName").is_set());
    if let (true, Some(requests)) =
        (bound, munged.get_mut("resources").and_then(|resources| resources.get_mut("requests")))
    {
        requests["storage"] = requested(&was).value.clone();
    }
    if !same(&Value::Object(munged), was.value) {
        let text =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(spec.forbidden(text));
    }
    errors.extend(validate_shrinking(&requested(&spec), &requested(&was), old));
    let mode = spec.child("volumeMode").at(Path::new("volumeMode"));
    errors.extend(immutable(&mode, &was.child("volumeMode")));
    let class = spec.child("volumeAttributesClassName");
    if was.child("volumeAttributesClassName").is_set() && class.is_empty() {
        let to = if class.is_set() { "an empty string" } else { "nil" };
        errors.push(class.forbidden(format!("update from non-nil value to {to} is forbidden")));
    }
    errors
}

/// A claim may ask for less again while it has not got it.
fn validate_shrinking(wanted: &At, before: &At, old: &Object) -> Option<Error> {
    let held = quantity(&At::field(old, "status").child("capacity").child("storage"));
    let (now, was) = (quantity(wanted)?, quantity(before)?);
    let too_small = now < was && held.is_some_and(|held| now <= held);
    too_small.then(|| wanted.forbidden("field can not be less than status.capacity"))
}

const RESIZE_STATUSES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

fn validate_status_update(new: &Object, _: &Object) -> ErrorList {
    let status = At::field(new, "status");
    let mut errors = ErrorList::new();
    for part in ["capacity", "allocatedResources"] {
        for (_, amount) in status.child(part).entries() {
            let negative = quantity(&amount).is_some_and(|amount| amount.is_negative());
            errors.extend(negative.then(|| amount.invalid("must be a valid resource quantity")));
        }
    }
    let resizes = status.child("allocatedResourceStatuses").at(status.path.child("allocatedResourceStatus"));
    for (name, resize) in resizes.entries() {
        let known = RESIZE_STATUSES.contains(&resize.text());
        errors.extend((!known).then(|| Error::not_supported(&resizes.path, name, RESIZE_STATUSES)));
    }
    errors
}

/// upstream: pkg/api/persistentvolumeclaim
fn warnings(claim: &Object) -> Vec<String> {
    let mut warnings = Vec::new();
    if claim.annotation(CLASS_ANNOTATION).is_some() {
        let key = Path::new("metadata").child("annotations").key(CLASS_ANNOTATION);
        warnings.push(format!("{key}: deprecated since v1.8; use \"storageClassName\" attribute instead"));
    }
    let requests = At::field(claim, "spec").child("resources").child("requests");
    let storage = requests.child("storage");
    if quantity(&storage).is_some_and(|amount| amount.milli_value() % 1000 != 0) {
        let (path, text) = (requests.path.key("storage"), crate::check::shown_quantity(&storage));
        warnings.push(format!("{path}: fractional byte value {text:?} is invalid, must be an integer"));
    }
    warnings
}

fn requested<'a>(spec: &At<'a>) -> At<'a> {
    spec.child("resources").child("requests").child("storage")
}
