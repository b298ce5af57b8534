//! PodTemplate.

use crate::def::{KindDef, Strategy};

pub static POD_TEMPLATE: KindDef = KindDef {
    kind: "PodTemplate",
    resource: "podtemplates",
    singular: "podtemplate",
    schema: "io.k8s.api.core.v1.PodTemplate",
    strategy: Strategy { generation: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
