//! What `kubectl get hpa` prints.
//!
//! upstream: pkg/printers/internalversion (formatHPAMetrics)

use machinery::Object;
use serde_json::Value;

use super::convert::v1_to_v2;
use crate::columns::{AGE, NAME, NONE, number, scalar, scalar_or};
use crate::def::Column;
use crate::def::Description::Field;
use crate::tree::{present, str_of};

/// As many metrics as a cell shows.
const SHOWN_MAX: usize = 2;
const UNKNOWN: &str = "<unknown>";

pub const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Reference", Field("spec.scaleTargetRef"), |scaler| {
        let target = |field| scaler.str(&["spec", "scaleTargetRef", field]);
        format!("{}/{}", target("kind"), target("name")).into()
    }),
    Column::string("Targets", Field("spec.metrics"), |scaler| {
        let mut scaler = scaler.clone();
        if scaler.api_version() == "autoscaling/v1" {
            v1_to_v2(&mut scaler);
        }
        targets(&scaler).into()
    }),
    Column::string("MinPods", Field("spec.minReplicas"), |scaler| {
        scalar_or(scaler.get(&["spec"]), "minReplicas", "<unset>")
    }),
    Column::string("MaxPods", Field("spec.maxReplicas"), |scaler| number(scaler, &["spec", "maxReplicas"])),
    Column::string("Replicas", Field("status.currentReplicas"), |scaler| {
        number(scaler, &["status", "currentReplicas"])
    }),
    AGE,
];

fn targets(scaler: &Object) -> String {
    let specs = scaler.list(&["spec", "metrics"]);
    let statuses = scaler.list(&["status", "currentMetrics"]);
    if specs.is_empty() {
        return NONE.to_owned();
    }
    let mut texts: Vec<String> = specs
        .iter()
        .enumerate()
        .map(|(index, spec)| target(spec, statuses.get(index).unwrap_or(&Value::Null)))
        .collect();
    let count = texts.len();
    texts.truncate(SHOWN_MAX);
    let shown = texts.join(", ");
    if count > SHOWN_MAX { format!("{shown} + {} more...", count - SHOWN_MAX) } else { shown }
}

fn target(spec: &Value, status: &Value) -> String {
    match str_of(spec, "type") {
        "Resource" => resource(spec, status, "resource"),
        "ContainerResource" => resource(spec, status, "containerResource"),
        "Pods" => value(spec, status, "pods", "averageValue").unwrap_or_default(),
        "External" => averaged(spec, status, "external"),
        "Object" => averaged(spec, status, "object"),
        _ => "<unknown type>".to_owned(),
    }
}

/// `cpu: 20%/80%` or `memory: 100Mi/1Gi`.
fn resource(spec: &Value, status: &Value, field: &str) -> String {
    let name = spec.get(field).map_or("", |metric| str_of(metric, "name"));
    if let Some(text) = value(spec, status, field, "averageValue") {
        return format!("{name}: {text}");
    }
    let percent = |value: &Value| format!("{value}%");
    let current = amount(status, field, "current", "averageUtilization").map_or_else(|| UNKNOWN.to_owned(), percent);
    let wanted = amount(spec, field, "target", "averageUtilization").map_or_else(|| "<auto>".to_owned(), percent);
    format!("{name}: {current}/{wanted}")
}

fn averaged(spec: &Value, status: &Value, field: &str) -> String {
    match value(spec, status, field, "averageValue") {
        Some(text) => format!("{text} (avg)"),
        None => value(spec, status, field, "value").unwrap_or_else(|| format!("{UNKNOWN}/<auto>")),
    }
}

/// `CURRENT/TARGET` when the target is given in this way.
fn value(spec: &Value, status: &Value, field: &str, way: &str) -> Option<String> {
    let wanted = amount(spec, field, "target", way)?;
    let current = amount(status, field, "current", way).map_or_else(|| UNKNOWN.to_owned(), scalar);
    Some(format!("{current}/{}", scalar(wanted)))
}

fn amount<'a>(metric: &'a Value, field: &str, part: &str, way: &str) -> Option<&'a Value> {
    present(metric.get(field)?.get(part)?, way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn targets_show_the_present_and_the_wanted() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
        let pods = json!({"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}});
        let now = json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 20}}}]);
        let of = |metrics: Value, current: Value| {
            let object = json!({"spec": {"metrics": metrics}, "status": {"currentMetrics": current}});
            targets(&Object::from_value(object).unwrap())
        };
        assert_eq!(of(json!([]), json!([])), "<none>");
        assert_eq!(of(json!([cpu]), json!([])), "cpu: <unknown>/80%");
        assert_eq!(of(json!([cpu, memory]), now.clone()), "cpu: 20%/80%, memory: <unknown>/1Gi");
        assert_eq!(of(json!([cpu, memory, pods]), now), "cpu: 20%/80%, memory: <unknown>/1Gi + 1 more...");
    }
}
