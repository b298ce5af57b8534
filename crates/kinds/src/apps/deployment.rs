//! Deployment.

use machinery::Object;
use machinery::field::ErrorList;
use serde_json::Value;

use super::Counts;
use crate::check::{At, immutable, int_or_percent, is_zero, non_negative, percentage, workload_selector};
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, number};
use crate::core::pod::defaults::default_template;
use crate::core::pod::validate::validate_template;
use crate::core::pod::warnings::of_template;
use crate::def::Description::{Field, Text};
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
        Column::string("Ready", Text("Number of the pod with ready state"), ready),
        Column::string("Up-to-date", Field("status.updatedReplicas"), |object| {
            number(object, &["status", "updatedReplicas"])
        }),
        Column::string("Available", Field("status.availableReplicas"), |object| {
            number(object, &["status", "availableReplicas"])
        }),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    strategy: Strategy {
        default: default_deployment,
        validate,
        validate_update: keeps_selector,
        validate_status_update: |new, old| STATUS.validate(new, old),
        warnings: of_template,
        kept_by_status: &[&["metadata", "labels"]],
        ..Strategy::WITH_STATUS
    },
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

const STATUS: Counts = Counts {
    fields: &[
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ],
    bounds: &[
        ("updatedReplicas", "replicas", "status.replicas"),
        ("readyReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "readyReplicas", "readyReplicas"),
    ],
};

fn validate(object: &Object) -> ErrorList {
    let spec = At::field(object, "spec");
    let mut errors = validate_counts(&spec, &["replicas"]);
    errors.extend(workload_selector(&spec.child("selector"), &spec.child("template"), "deployment"));
    errors.extend(validate_lasting_template(&spec, "ReplicaSet"));
    errors.extend(validate_strategy(&spec.child("strategy")));
    errors.extend(validate_counts(&spec, &["minReadySeconds", "revisionHistoryLimit"]));
    let deadline = spec.child("progressDeadlineSeconds");
    errors.extend(non_negative(&deadline));
    if deadline.int().unwrap_or(i64::MAX) <= spec.child("minReadySeconds").int().unwrap_or(0) {
        errors.push(deadline.invalid("must be greater than minReadySeconds"));
    }
    errors
}

/// Numbers of a spec that may not be negative.
pub fn validate_counts(spec: &At, fields: &[&str]) -> ErrorList {
    fields.iter().filter_map(|field| non_negative(&spec.child(field))).collect()
}

/// The template of pods that run until they are told to stop.
pub fn validate_lasting_template(spec: &At, workload: &str) -> ErrorList {
    let template = spec.child("template");
    let mut errors = validate_template(&template);
    errors.extend(validate_runs_on(&template, workload));
    errors
}

/// Pods of a workload restart always and have no deadline.
pub fn validate_runs_on(template: &At, workload: &str) -> ErrorList {
    let (policy, deadline) =
        (template.child("spec").child("restartPolicy"), template.child("spec").child("activeDeadlineSeconds"));
    let always = policy.text() == "Always";
    let mut errors: ErrorList = (!always).then(|| policy.not_supported(&["Always"])).into_iter().collect();
    if deadline.is_set() {
        errors.push(deadline.forbidden(format!("activeDeadlineSeconds in {workload} is not Supported")));
    }
    errors
}

fn validate_strategy(strategy: &At) -> ErrorList {
    let rolling = strategy.child("rollingUpdate");
    match strategy.child("type").text() {
        "Recreate" if rolling.is_set() => {
            vec![rolling.forbidden("may not be specified when strategy `type` is 'Recreate'")]
        }
        "Recreate" => ErrorList::new(),
        "RollingUpdate" => validate_rolling(&rolling),
        _ => vec![strategy.not_supported(&["Recreate", "RollingUpdate"])],
    }
}

fn validate_rolling(rolling: &At) -> ErrorList {
    let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
    let mut errors = int_or_percent(&unavailable);
    errors.extend(int_or_percent(&surge));
    if is_zero(&unavailable) && is_zero(&surge) {
        errors.push(unavailable.invalid("may not be 0 when `maxSurge` is 0"));
    }
    errors.extend(at_most_all(&unavailable));
    errors
}

/// A share of pods that may be missing is not more than all of them.
pub fn at_most_all(at: &At) -> ErrorList {
    let too_many = percentage(at).is_some_and(|percent| percent > 100);
    too_many.then(|| at.invalid("must not be greater than 100%")).into_iter().collect()
}

/// The selector of a workload does not change.
pub fn keeps_selector(new: &Object, old: &Object) -> ErrorList {
    let selector = |object| At::field(object, "spec").child("selector");
    immutable(&selector(new), &selector(old)).into_iter().collect()
}
