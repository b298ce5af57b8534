//! Reading and changing pods: containers of all kinds, mirror pods, amounts of resources.

use std::collections::BTreeMap;

use machinery::Object;
use machinery::quantity::Quantity;
use serde_json::Value;

pub const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// Lists of containers in a pod's spec.
pub const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

pub fn is_mirror(pod: &Object) -> bool {
    pod.annotation(MIRROR_POD).is_some()
}

/// The containers of a pod that are there from the start, init containers first.
pub fn lasting_containers(pod: &Object) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| pod.list(&["spec", list]))
}

/// Calls `change` for each container of the given lists.
pub fn for_each_container(pod: &mut Object, lists: &[&str], mut change: impl FnMut(&mut Value)) {
    let Some(spec) = pod.0.get_mut("spec") else { return };
    for list in lists {
        let containers = spec.get_mut(*list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(&mut change);
    }
}

/// The amounts in an object of quantities; what can not be read counts as nothing.
pub fn amounts(value: Option<&Value>) -> Amounts {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(name, amount)| Some((name.clone(), quantity(amount)?))).collect()
}

pub fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

pub fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.entry(name.clone()).or_insert(Quantity::ZERO);
        *sum = *sum + *amount;
    }
}

fn raise(total: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let highest = total.entry(name.clone()).or_insert(*amount);
        if *highest < *amount {
            *highest = *amount;
        }
    }
}

/// What a pod needs at once, `which` being `requests` or `limits`: its containers and its restartable init
/// containers together, or the largest init container with those restartable ones that started before it;
/// amounts of the pod as a whole replace sums; overhead comes on top.
pub fn total(pod: &Object, which: &str) -> Amounts {
    let of = |container: &Value| amounts(container.get("resources").and_then(|resources| resources.get(which)));
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
    let overhead = amounts(pod.get(&["spec", "overhead"]));
    // A resource without a limit has none, overhead or not.
    let overhead = overhead.into_iter().filter(|(name, _)| which == "requests" || running.contains_key(name));
    let overhead: Amounts = overhead.collect();
    add(&mut running, &overhead);
    running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn cpu(pod: &str) -> String {
        total(&object(pod), "requests")["cpu"].to_string()
    }

    #[test]
    fn init_containers_count_by_their_peak() {
        let container = |cpu: &str, extra: &str| format!(r#"{{"resources":{{"requests":{{"cpu":"{cpu}"}}}}{extra}}}"#);
        let pod = |init: &[String], main: &[String]| {
            let (init, main) = (init.join(","), main.join(","));
            cpu(&format!(
                r#"{{"spec":{{"initContainers":[{init}],"containers":[{main}],"overhead":{{"cpu":"10m"}}}}}}"#
            ))
        };
        let sidecar = r#","restartPolicy":"Always""#;
        assert_eq!(pod(&[], &[container("100m", ""), container("200m", "")]), "310m");
        assert_eq!(pod(&[container("1", "")], &[container("100m", "")]), "1010m");
        assert_eq!(pod(&[container("1", sidecar)], &[container("100m", "")]), "1110m");
        assert_eq!(pod(&[container("1", sidecar), container("2", "")], &[container("100m", "")]), "3010m");
    }
}
