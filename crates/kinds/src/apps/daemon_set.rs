//! DaemonSet.

use machinery::Object;
use machinery::field::ErrorList;

use super::Counts;
use super::deployment::{at_most_all, keeps_selector, validate_counts, validate_lasting_template};
use crate::check::{At, int_or_percent, is_zero, workload_selector};
use crate::columns::{AGE, CONTAINERS, IMAGES, NAME, SELECTOR, format_labels, number};
use crate::core::pod::defaults::default_template;
use crate::core::pod::warnings::of_template;
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Strategy, Subresource};
use crate::tree::{child_or_new, default, default_status_number, default_text, text};

pub static DAEMON_SET: KindDef = KindDef {
    group: "apps",
    kind: "DaemonSet",
    resource: "daemonsets",
    singular: "daemonset",
    short_names: &["ds"],
    categories: &["all"],
    schema: "io.k8s.api.apps.v1.DaemonSet",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::integer("Desired", Field("status.desiredNumberScheduled"), |object| {
            number(object, &["status", "desiredNumberScheduled"])
        }),
        Column::integer("Current", Field("status.currentNumberScheduled"), |object| {
            number(object, &["status", "currentNumberScheduled"])
        }),
        Column::integer("Ready", Field("status.numberReady"), |object| number(object, &["status", "numberReady"])),
        Column::integer("Up-to-date", Field("status.updatedNumberScheduled"), |object| {
            number(object, &["status", "updatedNumberScheduled"])
        }),
        Column::integer("Available", Field("status.numberAvailable"), |object| {
            number(object, &["status", "numberAvailable"])
        }),
        Column::string("Node Selector", Field("spec.template.spec.nodeSelector"), |object| {
            format_labels(object.map(&["spec", "template", "spec", "nodeSelector"])).into()
        }),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    strategy: Strategy {
        default: default_daemon_set,
        validate,
        validate_update: keeps_selector,
        validate_status_update: |new, old| STATUS.validate(new, old),
        warnings: of_template,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn default_daemon_set(object: &mut Object) {
    let spec = child_or_new(&mut object.0, "spec");
    default_template(spec, "template");
    default(spec, "revisionHistoryLimit", 10);
    let strategy = child_or_new(spec, "updateStrategy");
    default_text(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = child_or_new(strategy, "rollingUpdate");
        default(rolling, "maxUnavailable", 1);
        default(rolling, "maxSurge", 0);
    }
    let counts = ["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"];
    default_status_number(object, &counts);
}

const STATUS: Counts = Counts {
    fields: &[
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ],
    bounds: &[],
};

fn validate(object: &Object) -> ErrorList {
    let spec = At::field(object, "spec");
    let mut errors = workload_selector(&spec.child("selector"), &spec.child("template"), "daemonset");
    errors.extend(validate_lasting_template(&spec, "DaemonSet"));
    errors.extend(validate_counts(&spec, &["minReadySeconds"]));
    errors.extend(validate_strategy(&spec.child("updateStrategy")));
    errors.extend(validate_counts(&spec, &["revisionHistoryLimit"]));
    errors
}

fn validate_strategy(strategy: &At) -> ErrorList {
    let rolling = strategy.child("rollingUpdate");
    match strategy.child("type").text() {
        "OnDelete" => ErrorList::new(),
        "RollingUpdate" if !rolling.is_set() => vec![rolling.required("")],
        "RollingUpdate" => validate_rolling(&rolling),
        _ => vec![strategy.not_supported(&["RollingUpdate", "OnDelete"])],
    }
}

/// Either pods go first, or new ones come first.
fn validate_rolling(rolling: &At) -> ErrorList {
    let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
    let mut errors = int_or_percent(&unavailable);
    errors.extend(int_or_percent(&surge));
    errors.extend(at_most_all(&unavailable));
    errors.extend(at_most_all(&surge));
    match (is_zero(&unavailable), is_zero(&surge)) {
        (true, true) => errors.push(unavailable.required("cannot be 0 when maxSurge is 0")),
        (false, false) => errors.push(surge.invalid("may not be set when maxUnavailable is non-zero")),
        _ => {}
    }
    errors
}
