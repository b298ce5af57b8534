//! VolumeAttachment.

use crate::columns::{AGE, NAME};
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
        Column::string("Attacher", "Driver that attaches it", |object| object.str(&["spec", "attacher"]).into()),
        Column::string("PV", "Volume to attach", |object| {
            object.str(&["spec", "source", "persistentVolumeName"]).into()
        }),
        Column::string("Node", "Node to attach it to", |object| object.str(&["spec", "nodeName"]).into()),
        Column::string("Attached", "Whether it is attached", |object| object.bool(&["status", "attached"]).into())
            .of_type("boolean"),
        AGE,
    ],
    strategy: Strategy {
        prepare_create: |object| object.set(&["status"], serde_json::json!({"attached": false})),
        generation: false,
        unconditional_update: false,
        returns_deleted: true,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};
