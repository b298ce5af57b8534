//! PersistentVolumeClaim.

use crate::def::{KindDef, Strategy, Subresource};

pub static PERSISTENT_VOLUME_CLAIM: KindDef = KindDef {
    kind: "PersistentVolumeClaim",
    resource: "persistentvolumeclaims",
    singular: "persistentvolumeclaim",
    short_names: &["pvc"],
    schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
    subresources: &[Subresource::Status],
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
