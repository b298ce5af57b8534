//! Fields of features that are off: they are dropped, unless the object has had some of their feature before.
//!
//! upstream: the strategies of pkg/registry/resource, kube_features.go of v1.35

use machinery::Object;
use serde_json::Value;

use crate::def::FieldPath;

/// The fields of one feature; `*` stands for any item of a list and any entry of a map.
type Feature = &'static [FieldPath];

/// DRAConsumableCapacity, DRADeviceBindingConditions.
pub const CLAIM: &[Feature] = &[
    &[
        &["spec", "devices", "constraints", "*", "distinctAttribute"],
        &["spec", "devices", "requests", "*", "exactly", "capacity"],
        &["spec", "devices", "requests", "*", "firstAvailable", "*", "capacity"],
        &["status", "allocation", "devices", "results", "*", "shareID"],
        &["status", "allocation", "devices", "results", "*", "consumedCapacity"],
        &["status", "devices", "*", "shareID"],
    ],
    &[
        &["status", "allocation", "devices", "results", "*", "bindingConditions"],
        &["status", "allocation", "devices", "results", "*", "bindingFailureConditions"],
    ],
];

/// DRAConsumableCapacity.
pub const TEMPLATE: &[Feature] = &[&[
    &["spec", "spec", "devices", "constraints", "*", "distinctAttribute"],
    &["spec", "spec", "devices", "requests", "*", "exactly", "capacity"],
    &["spec", "spec", "devices", "requests", "*", "firstAvailable", "*", "capacity"],
]];

/// DRAExtendedResource.
pub const CLASS: &[Feature] = &[&[&["spec", "extendedResourceName"]]];

/// DRADeviceTaints, DRAPartitionableDevices, DRADeviceBindingConditions, DRAConsumableCapacity.
pub const SLICE: &[Feature] = &[
    &[&["spec", "devices", "*", "taints"]],
    &[
        &["spec", "sharedCounters"],
        &["spec", "perDeviceNodeSelection"],
        &["spec", "devices", "*", "consumesCounters"],
        &["spec", "devices", "*", "nodeName"],
        &["spec", "devices", "*", "nodeSelector"],
        &["spec", "devices", "*", "allNodes"],
    ],
    &[
        &["spec", "devices", "*", "bindsToNode"],
        &["spec", "devices", "*", "bindingConditions"],
        &["spec", "devices", "*", "bindingFailureConditions"],
    ],
    &[
        &["spec", "devices", "*", "allowMultipleAllocations"],
        &["spec", "devices", "*", "capacity", "*", "requestPolicy"],
    ],
];

/// Drops what the object has of features that the old one had nothing of.
pub fn drop_disabled(features: &[Feature], new: &mut Object, old: Option<&Object>) {
    for feature in features {
        let in_use = |old: &Object| feature.iter().any(|path| has_below(old.0.get(path[0]), &path[1..]));
        if !old.is_some_and(in_use) {
            for path in *feature {
                new.0.get_mut(path[0]).into_iter().for_each(|value| drop_below(value, &path[1..]));
            }
        }
    }
}

/// Whether there is something at the path, other than an empty list.
fn has_below(value: Option<&Value>, path: &[&str]) -> bool {
    let Some(value) = value else { return false };
    match (path, value) {
        ([], Value::Null) => false,
        ([], Value::Array(items)) => !items.is_empty(),
        ([], _) => true,
        (["*", rest @ ..], Value::Array(items)) => items.iter().any(|item| has_below(Some(item), rest)),
        (["*", rest @ ..], Value::Object(map)) => map.values().any(|entry| has_below(Some(entry), rest)),
        ([field, rest @ ..], _) => has_below(value.get(field), rest),
    }
}

fn drop_below(value: &mut Value, path: &[&str]) {
    match (path, value) {
        (["*", rest @ ..], Value::Array(items)) => items.iter_mut().for_each(|item| drop_below(item, rest)),
        (["*", rest @ ..], Value::Object(map)) => map.values_mut().for_each(|entry| drop_below(entry, rest)),
        ([last], Value::Object(map)) => drop(map.remove(*last)),
        ([field, rest @ ..], Value::Object(map)) => {
            map.get_mut(*field).into_iter().for_each(|below| drop_below(below, rest));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn fields_of_a_feature_stay_where_it_was_in_use() {
        let slice = |device: Value| object(json!({"spec": {"devices": [device]}}));
        let tainted = slice(json!({"name": "a", "taints": [{"key": "k"}], "allNodes": true}));
        let dropped = |old: Option<&Object>| {
            let mut new = tainted.clone();
            drop_disabled(SLICE, &mut new, old);
            new
        };
        assert_eq!(dropped(None), slice(json!({"name": "a"})));
        assert_eq!(dropped(Some(&slice(json!({"taints": []})))), slice(json!({"name": "a"})));
        let was = slice(json!({"taints": [{"key": "other"}]}));
        assert_eq!(dropped(Some(&was)), slice(json!({"name": "a", "taints": [{"key": "k"}]})));
        assert_eq!(dropped(Some(&tainted)), tainted);
    }

    #[test]
    fn entries_of_maps_lose_them_too() {
        let slice = |entry: Value| object(json!({"spec": {"devices": [{"capacity": {"memory": entry}}]}}));
        let mut new = slice(json!({"value": "1Gi", "requestPolicy": {"default": "1"}}));
        drop_disabled(SLICE, &mut new, None);
        assert_eq!(new, slice(json!({"value": "1Gi"})));
    }
}
