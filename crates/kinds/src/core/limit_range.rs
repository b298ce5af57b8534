//! LimitRange.

use std::collections::BTreeSet;

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::quantity::Quantity;
use machinery::validation::qualified_name;
use serde_json::{Map, Value};

use super::resource_names::{may_overcommit, validate_container_resource_name, validate_resource_name};
use crate::check::{At, quantity};
use crate::def::{KindDef, Strategy};
use crate::tree::{child_or_new, default, each, text};

pub static LIMIT_RANGE: KindDef = KindDef {
    kind: "LimitRange",
    resource: "limitranges",
    singular: "limitrange",
    short_names: &["limits"],
    schema: "io.k8s.api.core.v1.LimitRange",
    strategy: Strategy { default: default_limit_range, validate, create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn default_limit_range(object: &mut Object) {
    each(object.map_mut(&["spec"]), "limits", |item| {
        if text(item, "type") == "Container" {
            for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
                fill(item, from, to);
            }
        }
    });
}

/// Gives `to` what `from` has and it lacks.
fn fill(item: &mut Map<String, Value>, from: &str, to: &str) {
    let amounts = item.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
    if amounts.is_empty() {
        return;
    }
    let target = child_or_new(item, to);
    for (resource, amount) in amounts {
        default(target, &resource, amount);
    }
}

/// Two bounds of one resource that must stand in this order; the last is where and with which value it is told.
const ORDERED: [(&str, &str, &str, &str); 6] = [
    ("min", "max", "min", "min"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest"),
    ("min", "default", "default", "min"),
    ("default", "max", "default", "max"),
];
const BOUNDS: [&str; 5] = ["max", "min", "default", "defaultRequest", RATIO];
const RATIO: &str = "maxLimitRequestRatio";
const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];
const OF_PODS: &str = "may not be specified when `type` is 'Pod'";
const NO_STORAGE: &str = "either minimum or maximum storage value is required, but neither was provided";

fn validate(object: &Object) -> ErrorList {
    let limits = At::field(object, "spec").child("limits");
    let mut seen = std::collections::HashSet::new();
    let items = limits.items();
    items.iter().flat_map(|item| validate_item(item, seen.insert(item.child("type").text()))).collect()
}

fn validate_item(item: &At, first_of_type: bool) -> ErrorList {
    let of_type = item.child("type");
    let mut errors = validate_type(&of_type);
    if !first_of_type {
        errors.push(of_type.duplicate());
    }
    let defaults = item.set_children(&["default", "defaultRequest"]);
    if of_type.text() == "Pod" {
        errors.extend(defaults.iter().filter(|field| !field.is_empty()).map(|field| field.forbidden(OF_PODS)));
    }
    let bounds = BOUNDS.iter().filter(|bound| of_type.text() != "Pod" || !bound.starts_with("default"));
    let bounds: Vec<At> = bounds.map(|bound| item.child(bound)).collect();
    for (resource, amount) in bounds.iter().flat_map(At::entries) {
        errors.extend(match of_type.text() {
            "Pod" | "Container" => validate_container_resource_name(resource, &amount),
            _ => validate_resource_name(resource, &amount),
        });
    }
    let stores = ["min", "max"].iter().any(|bound| item.child(bound).child("storage").is_set());
    if of_type.text() == "PersistentVolumeClaim" && !stores {
        errors.push(item.child("limits").required(NO_STORAGE));
    }
    let resources: BTreeSet<&str> = bounds.iter().flat_map(At::entries).map(|(resource, _)| resource).collect();
    errors.extend(resources.iter().flat_map(|resource| validate_resource(item, resource)));
    errors
}

fn validate_type(of_type: &At) -> ErrorList {
    let malformed = of_type.check(qualified_name);
    let known = of_type.text().contains('/') || TYPES.contains(&of_type.text());
    match malformed.is_empty() && !known {
        true => vec![of_type.invalid("must be a standard limit type or fully qualified")],
        false => malformed,
    }
}

/// The bounds of one resource among each other.
fn validate_resource(item: &At, resource: &str) -> ErrorList {
    let is_pod = item.child("type").text() == "Pod";
    let amount = |bound: &str| {
        let ignored = is_pod && bound.starts_with("default");
        quantity(&item.child(bound).child(resource)).filter(|_| !ignored)
    };
    let invalid = |bound: &str, shown: &Quantity, text: String| {
        Error::invalid(&item.path.child(bound).key(resource), shown.to_string(), text)
    };
    let mut errors = ErrorList::new();
    for (low, high, at, shown) in ORDERED {
        let (Some(lower), Some(upper)) = (amount(low), amount(high)) else { continue };
        if lower > upper {
            let of_two = if (low, high) == ("defaultRequest", "default") { "default limit" } else { called(high) };
            let text = format!("{} value {lower} is greater than {of_two} value {upper}", called(low));
            errors.push(invalid(at, if shown == low { &lower } else { &upper }, text));
        }
    }
    if let Some(ratio) = amount(RATIO) {
        errors.extend(ratio_fault(&ratio, amount("min"), amount("max")).map(|text| invalid(RATIO, &ratio, text)));
    }
    match (amount("default"), amount("defaultRequest")) {
        (Some(limit), Some(request)) if limit != request && !may_overcommit(resource) => {
            let text = format!("default value {limit} must equal to defaultRequest value {request} in {resource}");
            errors.push(invalid("defaultRequest", &request, text));
        }
        _ => {}
    }
    errors
}

fn called(bound: &str) -> &str {
    if bound == "defaultRequest" { "default request" } else { bound }
}

/// What is wrong with a ratio of limit and request, given the bounds of both.
#[expect(clippy::cast_precision_loss, reason = "a ratio is shown with six digits")]
fn ratio_fault(ratio: &Quantity, min: Option<Quantity>, max: Option<Quantity>) -> Option<String> {
    let milli = |amount: &Quantity| amount.milli_value() as f64;
    if milli(ratio) < 1000.0 {
        return Some(format!("ratio {ratio} is less than 1"));
    }
    let largest = milli(&max?) / milli(&min?);
    (milli(ratio) / 1000.0 > largest).then(|| format!("ratio {ratio} is greater than max/min = {largest:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn container_limits_follow_from_each_other() {
        let limits = json!([{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]);
        let mut object = Object::from_value(json!({"spec": {"limits": limits}})).unwrap();
        default_limit_range(&mut object);
        assert_eq!(
            object.list(&["spec", "limits"])[0],
            json!({"type": "Container", "max": {"cpu": "2"},
            "min": {"memory": "1Mi"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2", "memory": "1Mi"}})
        );
    }
}
