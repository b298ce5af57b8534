//! ReplicationController.

use crate::def::{KindDef, ScalePaths, Strategy, Subresource};

pub static REPLICATION_CONTROLLER: KindDef = KindDef {
    kind: "ReplicationController",
    resource: "replicationcontrollers",
    singular: "replicationcontroller",
    short_names: &["rc"],
    categories: &["all"],
    schema: "io.k8s.api.core.v1.ReplicationController",
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
