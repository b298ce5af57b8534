//! ReplicaSet.

use crate::def::{KindDef, ScalePaths, Strategy, Subresource};

pub static REPLICA_SET: KindDef = KindDef {
    group: "apps",
    kind: "ReplicaSet",
    resource: "replicasets",
    singular: "replicaset",
    short_names: &["rs"],
    categories: &["all"],
    schema: "io.k8s.api.apps.v1.ReplicaSet",
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
