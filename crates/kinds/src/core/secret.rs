//! Secret.

use crate::def::KindDef;

pub static SECRET: KindDef = KindDef {
    kind: "Secret",
    resource: "secrets",
    singular: "secret",
    schema: "io.k8s.api.core.v1.Secret",
    ..KindDef::PLAIN
};
