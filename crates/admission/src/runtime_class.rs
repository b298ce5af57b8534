//! A pod with a runtime class carries the class's overhead and runs where the class runs.

use auth::view::Resource;
use kinds::quota::amounts;
use machinery::{ApiError, Object};
use serde_json::Value;

use crate::Admit;

pub fn mutate(admit: &Admit<'_>, pod: &mut Object) -> Result<(), ApiError> {
    if !admit.creates(Resource::PODS) {
        return Ok(());
    }
    let Some(class) = class(admit, pod)? else { return Ok(()) };
    if let Some(overhead) = class.get(&["overhead", "podFixed"]) {
        if pod.get(&["spec", "overhead"]).is_some() {
            check_overhead(admit, pod, overhead)?;
        }
        pod.set(&["spec", "overhead"], overhead.clone());
    }
    schedule(admit, pod, &class)
}

pub fn validate(admit: &Admit<'_>, pod: Option<&Object>) -> Result<(), ApiError> {
    let Some(pod) = pod.filter(|_| admit.creates(Resource::PODS)) else { return Ok(()) };
    if let Some(overhead) = class(admit, pod)?.and_then(|class| class.get(&["overhead", "podFixed"]).cloned()) {
        return check_overhead(admit, pod, &overhead);
    }
    if pod.map(&["spec", "overhead"]).is_some_and(|overhead| !overhead.is_empty()) {
        let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        return Err(admit.forbidden(Some(pod), why));
    }
    Ok(())
}

fn check_overhead(admit: &Admit<'_>, pod: &Object, overhead: &Value) -> Result<(), ApiError> {
    if amounts(pod.get(&["spec", "overhead"])) == amounts(Some(overhead)) {
        return Ok(());
    }
    let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
    Err(admit.forbidden(Some(pod), why))
}

fn class(admit: &Admit<'_>, pod: &Object) -> Result<Option<Object>, ApiError> {
    let name = pod.str(&["spec", "runtimeClassName"]);
    if name.is_empty() {
        return Ok(None);
    }
    let class = admit.view.get(Resource::RUNTIME_CLASSES, "", name);
    class.map(Some).ok_or_else(|| admit.forbidden(Some(pod), format!("pod rejected: RuntimeClass {name:?} not found")))
}

fn schedule(admit: &Admit<'_>, pod: &mut Object, class: &Object) -> Result<(), ApiError> {
    for (key, value) in class.strings(&["scheduling", "nodeSelector"]) {
        let given = pod.str(&["spec", "nodeSelector", &key]).to_owned();
        if !given.is_empty() && given != value {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {given}"
            );
            return Err(admit.forbidden(Some(pod), why));
        }
        pod.set(&["spec", "nodeSelector", &key], value);
    }
    let tolerations = merged(pod.list(&["spec", "tolerations"]), class.list(&["scheduling", "tolerations"]));
    if !tolerations.is_empty() {
        pod.set(&["spec", "tolerations"], tolerations);
    }
    Ok(())
}

/// All of both that no other covers; of equal ones the first.
fn merged(own: &[Value], of_class: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = own.iter().chain(of_class).collect();
    let mut kept: Vec<Value> = Vec::new();
    for (at, toleration) in all.iter().enumerate() {
        let later = all[at + 1..].iter().any(|other| other != toleration && covers(other, toleration));
        if !later && !kept.iter().any(|other| covers(other, toleration)) {
            kept.push((*toleration).clone());
        }
    }
    kept
}

/// Whether whatever one tolerates the other does too.
fn covers(other: &Value, one: &Value) -> bool {
    if other == one {
        return true;
    }
    let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
    let exists = text(other, "operator") == "Exists";
    if text(other, "key") != text(one, "key") && !(exists && text(other, "key").is_empty()) {
        return false;
    }
    let effect = text(other, "effect");
    if !effect.is_empty() && effect != text(one, "effect") {
        return false;
    }
    let seconds = |of: &Value| of["tolerationSeconds"].as_i64();
    if effect == "NoExecute" && seconds(other).is_some_and(|most| seconds(one).is_none_or(|wanted| wanted > most)) {
        return false;
    }
    let plain = |of: &Value| matches!(text(of, "operator").as_str(), "" | "Equal");
    exists || (plain(other) && plain(one) && text(other, "value") == text(one, "value"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Case;

    const CLUSTER: &str = r#"
        runtimeclasses vm overhead={"podFixed":{"memory":"64Mi"}} scheduling={"nodeSelector":{"vm":"yes"},"tolerations":[{"key":"vm","operator":"Exists"}]}
        runtimeclasses plain
    "#;

    fn made(spec: Value) -> Result<Object, String> {
        let pod = Object::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).expect("a pod");
        let case = Case::create("pods", "dev").cluster(CLUSTER);
        let why = |error: ApiError| error.message.trim_start_matches("pods \"a\" is forbidden: ").to_owned();
        let pod = case.mutate(mutate, pod).map_err(why)?;
        case.validate(validate, Some(&pod)).map_err(why).map(|()| pod)
    }

    #[test]
    fn overhead_and_place_come_from_the_class() {
        let pod = made(json!({"runtimeClassName": "vm", "nodeSelector": {"disk": "ssd"}})).unwrap();
        assert_eq!(pod.get(&["spec", "overhead"]), Some(&json!({"memory": "64Mi"})));
        assert_eq!(pod.get(&["spec", "nodeSelector"]), Some(&json!({"disk": "ssd", "vm": "yes"})));
        assert_eq!(pod.list(&["spec", "tolerations"]), [json!({"key": "vm", "operator": "Exists"})]);
        let mismatch = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
        let without = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        for (spec, expected) in [
            (json!({"runtimeClassName": "vm", "overhead": {"memory": "67108864"}}), ""),
            (json!({"runtimeClassName": "vm", "overhead": {"memory": "65Mi"}}), mismatch),
            (json!({"runtimeClassName": "vm", "overhead": {}}), mismatch),
            (json!({"runtimeClassName": "plain", "overhead": {"memory": "1"}}), without),
            (json!({"overhead": {"memory": "1"}}), without),
            (json!({"overhead": {}}), ""),
            (json!({"runtimeClassName": "x"}), "pod rejected: RuntimeClass \"x\" not found"),
            (
                json!({"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}}),
                "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no",
            ),
        ] {
            assert_eq!(made(spec.clone()).err().unwrap_or_default(), expected, "{spec}");
        }
    }

    #[test]
    fn of_tolerations_the_wider_stay() {
        let [all, key, seconds, value] = [
            json!({"operator": "Exists"}),
            json!({"key": "a", "operator": "Exists", "effect": "NoExecute"}),
            json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}),
            json!({"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}),
        ];
        for (own, of_class, expected) in [
            (vec![&key], vec![&key], vec![&key]),
            (vec![&key], vec![&all], vec![&all]),
            (vec![&all], vec![&key, &value], vec![&all]),
            (vec![&seconds], vec![&key], vec![&key]),
            (vec![&key], vec![&seconds], vec![&key]),
            (vec![&key], vec![&value], vec![&key, &value]),
        ] {
            let [own, of_class, expected] =
                [own, of_class, expected].map(|list| list.into_iter().cloned().collect::<Vec<_>>());
            assert_eq!(merged(&own, &of_class), expected, "{own:?} {of_class:?}");
        }
    }
}
