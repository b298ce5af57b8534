//! Event.

use crate::def::{KindDef, Strategy};

pub static EVENT: KindDef = KindDef {
    kind: "Event",
    resource: "events",
    singular: "event",
    short_names: &["ev"],
    schema: "io.k8s.api.core.v1.Event",
    strategy: Strategy { create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};
