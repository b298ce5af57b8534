//! Defaults of autoscalers.
//!
//! upstream: pkg/apis/autoscaling/v2/defaults.go

use machinery::Object;
use serde_json::{Value, json};

use crate::tree::{Map, child, child_or_new, default, default_status_number, is_absent};

/// Percent of the requested cpu that pods should use when no metric is given.
const CPU_PERCENT: i32 = 80;

pub fn default_v1(scaler: &mut Object) {
    scaler.set_default(&["spec", "minReplicas"], 1);
    default_status(scaler);
}

pub fn default_v2(scaler: &mut Object) {
    let spec = child_or_new(&mut scaler.0, "spec");
    default(spec, "minReplicas", 1);
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let target = json!({"type": "Utilization", "averageUtilization": CPU_PERCENT});
        spec.insert("metrics".to_owned(), json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    }
    if let Some(behavior) = child(spec, "behavior") {
        default_scale_up(child_or_new(behavior, "scaleUp"));
        default_scale_down(child_or_new(behavior, "scaleDown"));
    }
    default_status(scaler);
}

fn default_status(scaler: &mut Object) {
    default_status_number(scaler, &["desiredReplicas"]);
}

fn default_scale_up(rules: &mut Map) {
    default(rules, "stabilizationWindowSeconds", 0);
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    default_rules(rules, json!([pods, {"type": "Percent", "value": 100, "periodSeconds": 15}]));
}

fn default_scale_down(rules: &mut Map) {
    default_rules(rules, json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
}

fn default_rules(rules: &mut Map, policies: Value) {
    default(rules, "selectPolicy", "Max");
    if is_absent(rules, "policies") {
        rules.insert("policies".to_owned(), policies);
    }
}
