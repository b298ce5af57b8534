//! DeviceClass.

use crate::def::{KindDef, Scope, Strategy};

pub static DEVICE_CLASS: KindDef = KindDef {
    group: "resource.k8s.io",
    kind: "DeviceClass",
    resource: "deviceclasses",
    singular: "deviceclass",
    scope: Scope::Cluster,
    schema: "io.k8s.api.resource.v1.DeviceClass",
    strategy: Strategy { generation: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
