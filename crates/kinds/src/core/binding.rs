//! Binding.

use crate::def::{KindDef, Verb};

pub static BINDING: KindDef = KindDef {
    kind: "Binding",
    resource: "bindings",
    singular: "binding",
    schema: "io.k8s.api.core.v1.Binding",
    verbs: &[Verb::Create],
    virtual_kind: true,
    ..KindDef::PLAIN
};
