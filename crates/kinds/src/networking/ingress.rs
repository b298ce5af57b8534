//! Ingress.

use crate::def::{KindDef, Strategy, Subresource};

pub static INGRESS: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "Ingress",
    resource: "ingresses",
    singular: "ingress",
    short_names: &["ing"],
    schema: "io.k8s.api.networking.v1.Ingress",
    subresources: &[Subresource::Status],
    strategy: Strategy::WITH_STATUS,
    ..KindDef::PLAIN
};
