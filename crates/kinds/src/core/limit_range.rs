//! LimitRange.

use crate::def::{KindDef, Strategy};

pub static LIMIT_RANGE: KindDef = KindDef {
    kind: "LimitRange",
    resource: "limitranges",
    singular: "limitrange",
    short_names: &["limits"],
    schema: "io.k8s.api.core.v1.LimitRange",
    strategy: Strategy { create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
