//! LimitRange.

use machinery::Object;
use machinery::field::{Error, ErrorList};
use serde_json::{Map, Value};

use crate::check::{At, non_negative_quantity, quantity};
use crate::columns::{CREATED_AT, NAME};
use crate::def::{KindDef, Strategy};
use crate::tree::{child_or_new, default, each, text};

pub static LIMIT_RANGE: KindDef = KindDef {
    kind: "LimitRange",
    resource: "limitranges",
    singular: "limitrange",
    short_names: &["limits"],
    schema: "io.k8s.api.core.v1.LimitRange",
    columns: &[NAME, CREATED_AT],
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

/// Bounds of one resource that must stand in this order.
const ORDERED: [(&str, &str); 6] = [
    ("min", "max"),
    ("min", "defaultRequest"),
    ("min", "default"),
    ("defaultRequest", "default"),
    ("defaultRequest", "max"),
    ("default", "max"),
];
const BOUNDS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

fn validate(object: &Object) -> ErrorList {
    let limits = At::field(object, "spec").child("limits");
    let mut errors = ErrorList::new();
    let mut seen = std::collections::HashSet::new();
    for item in limits.items() {
        let of_type = item.child("type");
        if !seen.insert(of_type.text()) {
            errors.push(of_type.duplicate());
        }
        if of_type.text() == "Pod" {
            for field in item.set_children(&["default", "defaultRequest"]).iter().filter(|field| !field.is_empty()) {
                errors.push(field.forbidden("may not be specified when `type` is 'Pod'"));
            }
        }
        errors.extend(validate_amounts(&item));
        errors.extend(ORDERED.iter().flat_map(|(low, high)| validate_order(&item, low, high)));
    }
    errors
}

fn validate_amounts(item: &At) -> ErrorList {
    let amounts = BOUNDS.iter().flat_map(|bound| item.child(bound).entries());
    amounts.filter_map(|(_, amount)| non_negative_quantity(&amount)).collect()
}

fn validate_order(item: &At, low: &str, high: &str) -> ErrorList {
    let mut errors = ErrorList::new();
    for (resource, bound) in item.child(low).entries() {
        let above = item.child(high).child(resource);
        let (Some(lower), Some(upper)) = (quantity(&bound), quantity(&above)) else { continue };
        if lower > upper {
            let name =
                |bound: &str| if bound == "defaultRequest" { "default request".to_owned() } else { bound.to_owned() };
            let text = format!("{} value {lower} is greater than {} value {upper}", name(low), name(high));
            let path = item.path.child(low).key(resource);
            errors.push(Error::invalid(&path, lower.to_string(), text));
        }
    }
    errors
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
