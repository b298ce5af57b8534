//! Equality as upstream's typed objects have it.

use machinery::quantity::Quantity;
use serde_json::Value;

use crate::tree::Map;

static ABSENT: Value = Value::Null;

/// Flags and numbers that typed clients leave out when they are false or zero.
const ZERO_IS_ABSENT: [&str; 14] = [
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "stdin",
    "stdinOnce",
    "tty",
    "readOnly",
    "hostPort",
    "initialDelaySeconds",
    "nodePort",
    "healthCheckNodePort",
    "minReadySeconds",
    "paused",
    "publishNotReadyAddresses",
];

/// Maps whose values are quantities.
const QUANTITIES: [&str; 4] = ["limits", "requests", "capacity", "hard"];

/// Whether two values mean the same: absent, null and empty are alike, and so are `1` and `1000m` where
/// quantities stand.
pub fn same(a: &Value, b: &Value) -> bool {
    a == b || same_at("", a, b)
}

fn same_at(parent: &str, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => same_maps(parent, a, b),
        (Value::Object(map), Value::Null) | (Value::Null, Value::Object(map)) => same_maps(parent, map, &Map::new()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_at(parent, a, b)),
        _ => a == b || (is_nothing(a) && is_nothing(b)),
    }
}

fn same_maps(parent: &str, a: &Map, b: &Map) -> bool {
    let mut keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    keys.all(|key| same_field(parent, key, a.get(key).unwrap_or(&ABSENT), b.get(key).unwrap_or(&ABSENT)))
}

fn same_field(parent: &str, key: &str, a: &Value, b: &Value) -> bool {
    let is_zero = |value: &Value| value.is_null() || value == &Value::Bool(false) || value == 0;
    if ZERO_IS_ABSENT.contains(&key) && is_zero(a) && is_zero(b) {
        return true;
    }
    if QUANTITIES.contains(&parent) || key == "sizeLimit" {
        let parse = |value: &Value| Quantity::parse(&crate::columns::scalar(value)).ok();
        if let (Some(a), Some(b)) = (parse(a), parse(b)) {
            return a == b;
        }
    }
    same_at(key, a, b)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_upstream_can_not_tell_apart_is_the_same() {
        let alike = [
            (json!({"a": null}), json!({})),
            (json!({"a": {"b": ""}}), json!({"a": {}})),
            (json!({"hostNetwork": false}), json!({})),
            (json!({"limits": {"cpu": "1000m"}}), json!({"limits": {"cpu": 1}})),
        ];
        for (a, b) in alike {
            assert!(same(&a, &b) && same(&b, &a), "{a} {b}");
        }
        let different = [
            (json!({"runAsUser": 0}), json!({})),
            (json!({"allowPrivilegeEscalation": false}), json!({})),
            (json!([1, 2]), json!([2, 1])),
            (json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "2"}})),
        ];
        for (a, b) in different {
            assert!(!same(&a, &b) && !same(&b, &a), "{a} {b}");
        }
    }
}
