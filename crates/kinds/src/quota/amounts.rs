//! Amounts of resources, and what a pod needs in all.

use std::collections::BTreeMap;

use machinery::Object;
use machinery::quantity::Quantity;
use serde_json::Value;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// The amounts in an object of quantities; what can not be read counts as nothing.
pub fn amounts(value: Option<&Value>) -> Amounts {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(name, amount)| Some((name.clone(), quantity(amount)?))).collect()
}

pub fn quantity(value: &Value) -> Option<Quantity> {
    Quantity::parse(&crate::columns::scalar(value)).ok()
}

pub fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.entry(name.clone()).or_insert(Quantity::ZERO);
        *sum = *sum + *amount;
    }
}

pub(super) fn raise(total: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let highest = total.entry(name.clone()).or_insert(*amount);
        *highest = (*highest).max(*amount);
    }
}

/// The containers of a pod that are there from the start, init containers first.
pub fn lasting_containers(pod: &Object) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| pod.list(&["spec", list]))
}

/// What a pod states that it needs at once, `which` being `requests` or `limits`: its containers and its restartable
/// init containers together, or the largest init container with those restartable ones that started before it;
/// amounts of the pod as a whole replace sums.
pub fn pod_total(pod: &Object, which: &str) -> Amounts {
    sum(pod, which, |container| stated(container, which))
}

/// The same with what running containers still hold of what they had before they were resized, and with overhead.
pub fn pod_holds(pod: &Object, which: &str) -> Amounts {
    let mut total = sum(pod, which, |container| held(pod, which, container));
    // A resource without a limit has none, overhead or not.
    let mut overhead = amounts(pod.get(&["spec", "overhead"]));
    overhead.retain(|name, _| which == "requests" || total.get(name).is_some_and(|limit| !limit.is_zero()));
    add(&mut total, &overhead);
    total
}

fn stated(container: &Value, which: &str) -> Amounts {
    amounts(container.get("resources").and_then(|resources| resources.get(which)))
}

fn held(pod: &Object, which: &str, container: &Value) -> Amounts {
    let wanted = stated(container, which);
    let statuses = ["containerStatuses", "initContainerStatuses"].into_iter();
    let mut statuses = statuses.flat_map(|list| pod.list(&["status", list]));
    let status = statuses.find(|status| status["name"] == container["name"]);
    let Some(status) = status.filter(|status| status.get("resources").is_some()) else { return wanted };
    let mut held = amounts(status["resources"].get(which));
    if which == "requests" {
        raise(&mut held, &amounts(status.get("allocatedResources")));
    }
    if !is_infeasible(pod) {
        raise(&mut held, &wanted);
    }
    held
}

/// Whether the node can never give what the pod was resized to.
fn is_infeasible(pod: &Object) -> bool {
    let conditions = pod.list(&["status", "conditions"]).iter();
    conditions.into_iter().any(|of| of["type"] == "PodResizePending" && of["reason"] == "Infeasible")
}

fn sum(pod: &Object, which: &str, of: impl Fn(&Value) -> Amounts) -> Amounts {
    let mut running = Amounts::new();
    let mut peak = Amounts::new();
    for container in pod.list(&["spec", "initContainers"]) {
        let own = of(container);
        if container["restartPolicy"] == "Always" {
            add(&mut running, &own);
            raise(&mut peak, &running);
        } else {
            let mut at_once = running.clone();
            add(&mut at_once, &own);
            raise(&mut peak, &at_once);
        }
    }
    for container in pod.list(&["spec", "containers"]) {
        add(&mut running, &of(container));
    }
    raise(&mut running, &peak);
    running.extend(amounts(pod.get(&["spec", "resources", which])));
    running
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cpu(total: fn(&Object, &str) -> Amounts, pod: &Value) -> String {
        total(&Object::from_value(pod.clone()).expect("a pod"), "requests")["cpu"].to_string()
    }

    #[test]
    fn init_containers_count_by_their_peak() {
        let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let sidecar = || json!({"resources": {"requests": {"cpu": "1"}}, "restartPolicy": "Always"});
        for (init, main, stated, held) in [
            (json!([]), json!([container("100m"), container("200m")]), "300m", "310m"),
            (json!([container("1")]), json!([container("100m")]), "1", "1010m"),
            (json!([sidecar()]), json!([container("100m")]), "1100m", "1110m"),
            (json!([sidecar(), container("2")]), json!([container("100m")]), "3", "3010m"),
        ] {
            let pod = json!({"spec": {"initContainers": init, "containers": main, "overhead": {"cpu": "10m"}}});
            assert_eq!((cpu(pod_total, &pod).as_str(), cpu(pod_holds, &pod).as_str()), (stated, held));
        }
    }

    #[test]
    fn a_container_holds_what_it_had_until_it_is_resized() {
        let pod = |wanted: &str, status: Value, conditions: Value| {
            let container = json!({"name": "c", "resources": {"requests": {"cpu": wanted}}});
            json!({"spec": {"containers": [container]}, "status": {"containerStatuses": [status], "conditions": conditions}})
        };
        let had = |actual: &str, allocated: &str| json!({"name": "c", "resources": {"requests": {"cpu": actual}}, "allocatedResources": {"cpu": allocated}});
        let infeasible = json!([{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]);
        for (pod, expected) in [
            (pod("1", had("2", "1"), json!([])), "2"),
            (pod("1", had("1", "2"), json!([])), "2"),
            (pod("3", had("1", "1"), json!([])), "3"),
            (pod("3", had("1", "1"), infeasible), "1"),
            (pod("3", json!({"name": "other", "resources": {}}), json!([])), "3"),
        ] {
            assert_eq!(cpu(pod_holds, &pod), expected);
        }
    }
}
