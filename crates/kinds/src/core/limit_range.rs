//! LimitRange.

use machinery::Object;
use serde_json::{Map, Value};

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
    strategy: Strategy { default: default_limit_range, create_on_update: true, ..Strategy::PLAIN },
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
