//! VolumeAttachment.

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_subdomain, in_range};

use crate::check::{At, immutable, optional_name, required};
use crate::columns::{AGE, NAME};
use crate::core::pod::validate::drivers::validate_driver_name;
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Scope, Strategy, Subresource};

pub static VOLUME_ATTACHMENT: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "VolumeAttachment",
    resource: "volumeattachments",
    singular: "volumeattachment",
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.VolumeAttachment",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Attacher", Field("spec.attacher"), |object| object.str(&["spec", "attacher"]).into())
            .format("name"),
        Column::string("PV", Field("spec.source.persistentVolumeName"), |object| {
            object.str(&["spec", "source", "persistentVolumeName"]).into()
        }),
        Column::string("Node", Field("spec.nodeName"), |object| object.str(&["spec", "nodeName"]).into()),
        Column::string("Attached", Field("status.attached"), |object| object.bool(&["status", "attached"]).into())
            .of_type("boolean"),
        AGE,
    ],
    strategy: Strategy {
        prepare_create: |object| object.set(&["status"], serde_json::json!({"attached": false})),
        validate,
        validate_create,
        validate_update,
        validate_status_update: |new, _| validate_status(new),
        generation: false,
        unconditional_update: false,
        returns_deleted: true,
        kept_by_status: &[&["metadata"]],
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

const METADATA_SIZE_MAX: usize = 256 << 10;
const MESSAGE_MAX: usize = 1024;
const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
const INLINE: &str = "may not be specified in the context of inline volumes";

fn validate(attachment: &Object) -> ErrorList {
    let spec = At::field(attachment, "spec");
    let node = spec.child("nodeName");
    let mut errors: ErrorList = required(&spec.child("attacher")).into_iter().collect();
    errors.extend(validate_source(&spec.child("source")));
    errors.extend(node.check(dns1123_subdomain));
    errors.extend(validate_status(attachment));
    errors
}

fn validate_source(source: &At) -> ErrorList {
    let (volume, inline) = (source.child("persistentVolumeName"), source.child("inlineVolumeSpec"));
    match (volume.is_set(), inline.is_set()) {
        (false, false) => vec![source.required(ONE_SOURCE)],
        (true, true) => vec![source.forbidden(ONE_SOURCE)],
        (true, false) if volume.is_empty() => vec![volume.required("must specify non empty persistentVolumeName")],
        (true, false) => ErrorList::new(),
        (false, true) => validate_inline(&inline),
    }
}

fn validate_inline(spec: &At) -> ErrorList {
    let misplaced = spec.set_children(&["claimRef", "capacity"]);
    let mut errors: ErrorList = misplaced.iter().map(|field| field.forbidden(INLINE)).collect();
    let driver = spec.child("csi");
    let text = "has to be specified in the context of inline volumes";
    errors.extend((!driver.is_set()).then(|| driver.required(text)));
    errors
}

fn validate_status(attachment: &Object) -> ErrorList {
    let status = At::field(attachment, "status");
    let metadata = status.child("attachmentMetadata");
    let size: usize = metadata.entries().iter().map(|(key, value)| key.len() + value.text().len()).sum();
    let mut errors = ErrorList::new();
    errors.extend((size > METADATA_SIZE_MAX).then(|| Error::too_long(&metadata.path, METADATA_SIZE_MAX)));
    for error in status.set_children(&["attachError", "detachError"]) {
        let (message, code) = (error.child("message"), error.child("errorCode"));
        // Upstream names the other limit.
        let long = message.text().len() > MESSAGE_MAX;
        errors.extend(long.then(|| Error::too_long(&message.path, METADATA_SIZE_MAX)));
        let faults = code.int().map(|number| in_range(number, 0, i64::from(i32::MAX))).unwrap_or_default();
        errors.extend(code.messages(faults));
    }
    errors
}

fn validate_create(attachment: &Object) -> ErrorList {
    let spec = At::field(attachment, "spec");
    let mut errors = validate_driver_name(&spec.child("attacher"));
    errors.extend(optional_name(&spec.child("source").child("persistentVolumeName"), dns1123_subdomain));
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    immutable(&At::field(new, "spec"), &At::field(old, "spec")).into_iter().collect()
}
