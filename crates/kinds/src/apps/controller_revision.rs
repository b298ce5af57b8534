//! ControllerRevision.

use crate::def::KindDef;

pub static CONTROLLER_REVISION: KindDef = KindDef {
    group: "apps",
    kind: "ControllerRevision",
    resource: "controllerrevisions",
    singular: "controllerrevision",
    schema: "io.k8s.api.apps.v1.ControllerRevision",
    ..KindDef::PLAIN
};
