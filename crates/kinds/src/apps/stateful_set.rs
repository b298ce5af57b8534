//! StatefulSet.

use crate::def::{KindDef, ScalePaths, Strategy, Subresource};

pub static STATEFUL_SET: KindDef = KindDef {
    group: "apps",
    kind: "StatefulSet",
    resource: "statefulsets",
    singular: "statefulset",
    short_names: &["sts"],
    categories: &["all"],
    schema: "io.k8s.api.apps.v1.StatefulSet",
    subresources: &[
        Subresource::Scale(ScalePaths {
            spec_replicas: &["spec", "replicas"],
            status_replicas: &["status", "replicas"],
            selector: &["spec", "selector"],
        }),
        Subresource::Status,
    ],
    strategy: Strategy::WITH_STATUS,
    ..KindDef::PLAIN
};
