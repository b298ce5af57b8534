//! Which objects a quota counts.

use machinery::Object;
use serde_json::{Value, json};

use crate::KindDef;
use crate::core::pod::qos_class;

/// A quota without scopes counts everything; scopes speak of pods or of claims, and all must fit.
pub fn fits(quota: &Object, kind: &KindDef, object: &Object) -> bool {
    scopes(quota).all(|scope| fits_scope(&scope, kind, object))
}

/// The scopes of a quota, each as a term of its selector.
pub fn scopes(quota: &Object) -> impl Iterator<Item = Value> {
    let plain = quota.list(&["spec", "scopes"]).iter().map(|scope| json!({"scopeName": scope, "operator": "Exists"}));
    plain.chain(quota.list(&["spec", "scopeSelector", "matchExpressions"]).iter().cloned())
}

pub fn fits_scope(scope: &Value, kind: &KindDef, object: &Object) -> bool {
    match (kind.group, kind.resource) {
        ("", "pods") => fits_pod(scope, object),
        ("", "persistentvolumeclaims") => fits_claim(scope, object),
        _ => false,
    }
}

fn fits_pod(scope: &Value, pod: &Object) -> bool {
    match scope["scopeName"].as_str().unwrap_or_default() {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => selects(scope, &[pod.str(&["spec", "priorityClassName"])]),
        "CrossNamespacePodAffinity" => has_cross_namespace_affinity(pod),
        _ => false,
    }
}

/// By the class that is wanted, the one that is there, or the one on its way.
fn fits_claim(scope: &Value, claim: &Object) -> bool {
    let classes = [
        claim.str(&["spec", "volumeAttributesClassName"]),
        claim.str(&["status", "currentVolumeAttributesClassName"]),
        claim.str(&["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"]),
    ];
    scope["scopeName"] == "VolumeAttributesClass" && selects(scope, &classes)
}

/// Whether the pod has a deadline. A change of that is what may bring a pod under another quota.
pub fn is_terminating(pod: &Object) -> bool {
    pod.int(&["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0)
}

fn is_best_effort(pod: &Object) -> bool {
    let class = Some(pod.str(&["status", "qosClass"])).filter(|class| !class.is_empty());
    class.unwrap_or_else(|| qos_class(pod)) == "BestEffort"
}

/// Of several names one suffices; an object without any is seen as such.
fn selects(expression: &Value, names: &[&str]) -> bool {
    let listed = |name: &str| expression["values"].as_array().into_iter().flatten().any(|value| value == name);
    let mut names = names.iter().copied().filter(|name| !name.is_empty()).peekable();
    let named = names.peek().is_some();
    match expression["operator"].as_str().unwrap_or_default() {
        "In" => names.any(listed),
        "NotIn" => !named || names.any(|name| !listed(name)),
        "Exists" => named,
        "DoesNotExist" => !named,
        _ => false,
    }
}

fn has_cross_namespace_affinity(pod: &Object) -> bool {
    let crosses = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|list| !list.is_empty()) || term.get("namespaceSelector").is_some()
    };
    ["podAffinity", "podAntiAffinity"].into_iter().any(|affinity| {
        let list = |name: &str| pod.list(&["spec", "affinity", affinity, name]).iter();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || list("preferredDuringSchedulingIgnoredDuringExecution").any(|of| crosses(&of["podAffinityTerm"]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(scope: &str) -> Object {
        let words: Vec<&str> = scope.split(' ').collect();
        let spec = match words[..] {
            [name] => json!({"scopes": [name]}),
            _ => {
                let values = words.get(2).map(|values| values.split(',').collect::<Vec<_>>());
                let term = json!({"scopeName": words[0], "operator": words[1], "values": values});
                json!({"scopeSelector": {"matchExpressions": [term]}})
            }
        };
        Object::from_value(json!({"spec": spec})).expect("a quota")
    }

    fn check(resource: &str, cases: &[(&str, Value, bool)]) {
        let kind = crate::find("", "v1", resource).expect("a kind");
        for (scope, object, expected) in cases {
            let object = Object::from_value(object.clone()).expect("an object");
            assert_eq!(fits(&quota(scope), kind, &object), *expected, "{scope} {object:?}");
        }
    }

    #[test]
    fn scopes_tell_pods_apart() {
        let asking = |resources: Value| json!({"spec": {"containers": [{"resources": {"requests": resources}}]}});
        let plain = || asking(json!({}));
        let class = |name: &str| json!({"spec": {"priorityClassName": name}});
        let near = |when: &str, term: Value| json!({"spec": {"affinity": {"podAntiAffinity": {when: [term]}}}});
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        check(
            "pods",
            &[
                ("BestEffort", plain(), true),
                ("BestEffort", asking(json!({"cpu": "0"})), true),
                ("BestEffort", asking(json!({"example.com/gpu": "1"})), true),
                ("BestEffort", asking(json!({"memory": "1"})), false),
                ("BestEffort", json!({"spec": {"resources": {"limits": {"cpu": "1"}}}}), false),
                ("BestEffort", json!({"status": {"qosClass": "Burstable"}}), false),
                ("NotBestEffort", plain(), false),
                ("NotBestEffort", asking(json!({"cpu": "1"})), true),
                ("Terminating", plain(), false),
                ("Terminating", json!({"spec": {"activeDeadlineSeconds": 0}}), true),
                ("NotTerminating", plain(), true),
                ("NotTerminating", json!({"spec": {"activeDeadlineSeconds": 5}}), false),
                ("PriorityClass", class("high"), true),
                ("PriorityClass", plain(), false),
                ("PriorityClass In high,low", class("high"), true),
                ("PriorityClass In high,low", class("other"), false),
                ("PriorityClass In high,low", plain(), false),
                ("PriorityClass NotIn high", class("low"), true),
                ("PriorityClass NotIn high", plain(), true),
                ("PriorityClass NotIn high", class("high"), false),
                ("PriorityClass DoesNotExist", plain(), true),
                ("PriorityClass DoesNotExist", class("high"), false),
                ("CrossNamespacePodAffinity", plain(), false),
                ("CrossNamespacePodAffinity", near(required, json!({"namespaces": ["a"]})), true),
                ("CrossNamespacePodAffinity", near(required, json!({"namespaces": []})), false),
                (
                    "CrossNamespacePodAffinity",
                    near(preferred, json!({"podAffinityTerm": {"namespaceSelector": {}}})),
                    true,
                ),
                ("VolumeAttributesClass", plain(), false),
            ],
        );
    }

    #[test]
    fn claims_are_told_apart_by_every_class_they_name() {
        let wanted = |name: &str| json!({"spec": {"volumeAttributesClassName": name}});
        let moving = json!({
            "spec": {"volumeAttributesClassName": "gold"},
            "status": {
                "currentVolumeAttributesClassName": "silver",
                "modifyVolumeStatus": {"targetVolumeAttributesClassName": "bronze"},
            },
        });
        check(
            "persistentvolumeclaims",
            &[
                ("VolumeAttributesClass", wanted("gold"), true),
                ("VolumeAttributesClass", json!({}), false),
                ("VolumeAttributesClass DoesNotExist", json!({}), true),
                ("VolumeAttributesClass DoesNotExist", wanted("gold"), false),
                ("VolumeAttributesClass In gold", wanted("gold"), true),
                ("VolumeAttributesClass In gold", wanted("silver"), false),
                ("VolumeAttributesClass In silver", moving.clone(), true),
                ("VolumeAttributesClass In bronze", moving.clone(), true),
                ("VolumeAttributesClass In tin", moving.clone(), false),
                ("VolumeAttributesClass NotIn gold", moving, true),
                ("VolumeAttributesClass NotIn gold", wanted("gold"), false),
                ("VolumeAttributesClass NotIn gold", json!({}), true),
                ("PriorityClass", json!({}), false),
                ("BestEffort", json!({}), false),
            ],
        );
        check("services", &[("BestEffort", json!({}), false), ("VolumeAttributesClass", json!({}), false)]);
    }
}
