//! autoscaling/v1 to v2 and back.
//!
//! What v1 has no field for travels in annotations, under upstream's keys.

use machinery::Object;
use serde_json::{Map, Value, json};

use super::defaults::default_v2;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

pub fn v1_to_v2(object: &mut Object) {
    object.set(&["apiVersion"], "autoscaling/v2");
    let target = object.remove(&["spec", "targetCPUUtilizationPercentage"]).filter(|value| !value.is_null());
    let mut metrics: Vec<Value> = target.into_iter().map(cpu_target).collect();
    metrics.extend(take_annotation(object, METRICS).and_then(into_list).unwrap_or_default());
    if !metrics.is_empty() {
        object.set(&["spec", "metrics"], metrics);
    }
    if let Some(behavior) = take_annotation(object, BEHAVIOR) {
        object.set(&["spec", "behavior"], behavior);
    }
    status_to_v2(object);
    default_v2(object);
}

fn status_to_v2(object: &mut Object) {
    let current = object.remove(&["status", "currentCPUUtilizationPercentage"]).filter(|value| !value.is_null());
    let mut metrics: Vec<Value> = current.into_iter().map(cpu_current).collect();
    metrics.extend(take_annotation(object, CURRENT_METRICS).and_then(into_list).unwrap_or_default());
    if !metrics.is_empty() {
        object.set(&["status", "currentMetrics"], metrics);
    }
    if let Some(conditions) = take_annotation(object, CONDITIONS) {
        object.set(&["status", "conditions"], conditions);
    }
}

pub fn v2_to_v1(object: &mut Object) {
    object.set(&["apiVersion"], "autoscaling/v1");
    if let Some(metrics) = object.remove(&["spec", "metrics"]) {
        let (cpu, rest) = split_cpu(metrics, "target");
        if let Some(cpu) = cpu {
            object.set(&["spec", "targetCPUUtilizationPercentage"], cpu);
        }
        put_annotation(object, METRICS, rest);
    }
    if let Some(metrics) = object.remove(&["status", "currentMetrics"]) {
        let (cpu, rest) = split_cpu(metrics, "current");
        if let Some(cpu) = cpu {
            object.set(&["status", "currentCPUUtilizationPercentage"], cpu);
        }
        put_annotation(object, CURRENT_METRICS, rest);
    }
    for (path, key) in [(["spec", "behavior"], BEHAVIOR), (["status", "conditions"], CONDITIONS)] {
        let value = object.remove(&path).unwrap_or_default();
        put_annotation(object, key, value);
    }
}

fn cpu_target(percent: Value) -> Value {
    json!({"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
}

fn cpu_current(percent: Value) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}})
}

/// The utilization of the first metric that v1 has a field for, and all other metrics.
fn split_cpu(metrics: Value, part: &str) -> (Option<Value>, Value) {
    let mut metrics = into_list(metrics).unwrap_or_default();
    let percent = |metric: &Value| {
        let resource = metric.get("resource").filter(|resource| resource["name"] == "cpu")?;
        resource.get(part)?.get("averageUtilization").cloned()
    };
    match metrics.iter().position(|metric| percent(metric).is_some()) {
        Some(at) => (percent(&metrics.remove(at)), Value::Array(metrics)),
        None => (None, Value::Array(metrics)),
    }
}

fn take_annotation(object: &mut Object, key: &str) -> Option<Value> {
    let text = object.remove(&["metadata", "annotations", key])?;
    if object.map(&["metadata", "annotations"]).is_some_and(Map::is_empty) {
        object.remove(&["metadata", "annotations"]);
    }
    serde_json::from_str(text.as_str()?).ok()
}

fn put_annotation(object: &mut Object, key: &str, value: Value) {
    let empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if !empty {
        object.set(&["metadata", "annotations", key], value.to_string());
    }
}

fn into_list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way_through_v1() {
        let v2 = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {
                "maxReplicas": 3,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
                    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
            },
            "status": {"conditions": [{"type": "AbleToScale", "status": "True"}], "desiredReplicas": 1},
        });
        let mut object = Object::from_value(v2).unwrap();
        default_v2(&mut object);
        let v2 = object.clone();
        v2_to_v1(&mut object);
        assert_eq!(object.int(&["spec", "targetCPUUtilizationPercentage"]), Some(50));
        assert!(object.annotation(METRICS).unwrap().contains("memory"));
        v1_to_v2(&mut object);
        assert_eq!(object, v2);
    }
}
