//! Deployment.

use crate::def::{KindDef, ScalePaths, Strategy, Subresource};

pub static DEPLOYMENT: KindDef = KindDef {
    group: "apps",
    kind: "Deployment",
    resource: "deployments",
    singular: "deployment",
    short_names: &["deploy"],
    categories: &["all"],
    schema: "io.k8s.api.apps.v1.Deployment",
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
