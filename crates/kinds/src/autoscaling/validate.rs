//! Validation of autoscalers. Those of v1 are checked as v2, as upstream checks its internal form.
//!
//! upstream: pkg/apis/autoscaling/validation

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::path_segment_name;

use super::convert::v1_to_v2;
use crate::check::{At, non_negative, quantity, required_name, required_one_of};

const METRIC_TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const TARGET_TYPES: &[&str] = &["AverageValue", "Utilization", "Value"];
const SELECT_POLICIES: &[&str] = &["Disabled", "Max", "Min"];
const WINDOW_MAX: i64 = 3600;
const PERIOD_MAX: i64 = 1800;

pub fn validate_status_update(new: &Object, _: &Object) -> ErrorList {
    let status = At::field(new, "status");
    ["currentReplicas", "desiredReplicas"].iter().filter_map(|field| non_negative(&status.child(field))).collect()
}

pub fn validate_v1(scaler: &Object) -> ErrorList {
    let mut scaler = scaler.clone();
    v1_to_v2(&mut scaler);
    validate_v2(&scaler)
}

pub fn validate_v2(scaler: &Object) -> ErrorList {
    let spec = At::field(scaler, "spec");
    let mut errors = validate_bounds(&spec);
    let target = spec.child("scaleTargetRef");
    errors.extend(required_name(&target.child("kind"), path_segment_name));
    errors.extend(required_name(&target.child("name"), path_segment_name));
    for metric in spec.child("metrics").items() {
        errors.extend(validate_metric(&metric));
    }
    for direction in spec.child("behavior").set_children(&["scaleUp", "scaleDown"]) {
        errors.extend(validate_rules(&direction));
    }
    errors
}

fn validate_bounds(spec: &At) -> ErrorList {
    let (min, max) = (spec.child("minReplicas"), spec.child("maxReplicas"));
    let mut errors = ErrorList::new();
    if min.int().is_some_and(|min| min < 1) {
        errors.push(min.invalid("must be greater than or equal to 1"));
    }
    let highest = max.int().unwrap_or(0);
    if highest < 1 {
        errors.push(Error::invalid(&max.path, highest, "must be greater than 0"));
    }
    if min.int().is_some_and(|min| highest < min) {
        errors.push(Error::invalid(&max.path, highest, "must be greater than or equal to `minReplicas`"));
    }
    errors
}

fn validate_metric(metric: &At) -> ErrorList {
    let mut errors: ErrorList = required_one_of(&metric.child("type"), METRIC_TYPES).into_iter().collect();
    let source = match metric.child("type").text() {
        "Resource" => metric.child("resource"),
        "ContainerResource" => metric.child("containerResource"),
        "Pods" => metric.child("pods"),
        "Object" => metric.child("object"),
        "External" => metric.child("external"),
        _ => return errors,
    };
    if !source.is_set() {
        errors.push(source.required("must populate information for the given metric source"));
        return errors;
    }
    let named = ["Resource", "ContainerResource"].contains(&metric.child("type").text());
    let name = if named { source.child("name") } else { source.child("metric").child("name") };
    if name.is_empty() {
        errors.push(name.required(if named { "must specify a resource name" } else { "must specify a metric name" }));
    }
    errors.extend(validate_target(&source.child("target")));
    errors
}

fn validate_target(target: &At) -> ErrorList {
    let mut errors: ErrorList = required_one_of(&target.child("type"), TARGET_TYPES).into_iter().collect();
    let percent = target.child("averageUtilization");
    if percent.int().is_some_and(|percent| percent < 1) {
        errors.push(percent.invalid("must be greater than 0"));
    }
    for amount in target.set_children(&["value", "averageValue"]) {
        if quantity(&amount).is_none_or(|amount| amount.is_negative() || amount.is_zero()) {
            errors.push(amount.invalid("must be positive"));
        }
    }
    if target.set_children(&["averageUtilization", "averageValue", "value"]).is_empty() {
        let text = "must set either a target raw value or a target utilization";
        errors.push(percent.required(text));
    }
    errors
}

fn validate_rules(rules: &At) -> ErrorList {
    let (window, policies) = (rules.child("stabilizationWindowSeconds"), rules.child("policies"));
    let mut errors: ErrorList = non_negative(&window).into_iter().collect();
    if window.int().is_some_and(|seconds| seconds > WINDOW_MAX) {
        errors.push(window.invalid(format!("must be less than or equal to {WINDOW_MAX}")));
    }
    errors.extend(required_one_of(&rules.child("selectPolicy"), SELECT_POLICIES));
    if policies.is_empty() {
        errors.push(policies.required("must specify at least one Policy"));
    }
    for policy in policies.items() {
        errors.extend(required_one_of(&policy.child("type"), &["Percent", "Pods"]));
        errors.extend(positive(&policy.child("value")));
        let period = policy.child("periodSeconds");
        errors.extend(positive(&period));
        if period.int().is_some_and(|seconds| seconds > PERIOD_MAX) {
            errors.push(period.invalid(format!("must be less than or equal to {PERIOD_MAX}")));
        }
    }
    errors
}

fn positive(at: &At) -> Option<machinery::field::Error> {
    (at.int().unwrap_or(0) <= 0).then(|| at.invalid("must be greater than zero"))
}
