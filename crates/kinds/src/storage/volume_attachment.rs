//! VolumeAttachment.

use crate::def::{KindDef, Scope, Strategy, Subresource};

pub static VOLUME_ATTACHMENT: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "VolumeAttachment",
    resource: "volumeattachments",
    singular: "volumeattachment",
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.VolumeAttachment",
    subresources: &[Subresource::Status],
    strategy: Strategy { generation: false, unconditional_update: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
