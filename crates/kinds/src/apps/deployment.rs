//! Deployment.

use machinery::Object;
use serde_json::Value;

use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, number};
use crate::core::pod::defaults::default_template;
use crate::def::{Column, KindDef, ScalePaths, Strategy, Subresource};
use crate::tree::{child_or_new, default, default_text, text};

pub static DEPLOYMENT: KindDef = KindDef {
    group: "apps",
    kind: "Deployment",
    resource: "deployments",
    singular: "deployment",
    short_names: &["deploy"],
    categories: &["all"],
    schema: "io.k8s.api.apps.v1.Deployment",
    subresources: &[Subresource::Scale(SCALE), Subresource::Status],
    columns: &[
        NAME,
        Column::string("Ready", "Pods that are ready, of those that should be", ready),
        Column::integer("Up-to-date", "Pods made from the present template", |object| {
            number(object, &["status", "updatedReplicas"])
        }),
        Column::integer("Available", "Pods that have been ready long enough", |object| {
            number(object, &["status", "availableReplicas"])
        }),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    strategy: Strategy { default: default_deployment, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};

/// Where the workloads of this group keep their replicas.
pub const SCALE: ScalePaths = ScalePaths {
    spec_replicas: &["spec", "replicas"],
    status_replicas: &["status", "replicas"],
    selector: &["spec", "selector"],
};

fn default_deployment(object: &mut Object) {
    let spec = child_or_new(&mut object.0, "spec");
    default_template(spec, "template");
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "progressDeadlineSeconds", 600);
    let strategy = child_or_new(spec, "strategy");
    default_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = child_or_new(strategy, "rollingUpdate");
        default(rolling, "maxUnavailable", "25%");
        default(rolling, "maxSurge", "25%");
    }
}

/// `READY/DESIRED`, also of StatefulSets.
pub fn ready(object: &Object) -> Value {
    let ready = object.int(&["status", "readyReplicas"]).unwrap_or(0);
    format!("{ready}/{}", object.int(&["spec", "replicas"]).unwrap_or(0)).into()
}
