//! The quality-of-service class of a pod.
//!
//! upstream: pkg/apis/core/v1/helper/qos

use std::collections::BTreeMap;

use machinery::Object;
use machinery::quantity::Quantity;
use serde_json::Value;

use crate::tree::Map;

const COUNTED: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed` when every container limits cpu and memory and requests just that, `BestEffort` when none
/// requests or limits either, else `Burstable`. Resources of the whole pod take the place of its containers'.
pub fn qos_class(pod: &Object) -> &'static str {
    if let Some(resources) = pod.get(&["spec", "resources"]).filter(|resources| has_amounts(resources)) {
        return class_of(std::iter::once(resources));
    }
    let containers = pod.list(&["spec", "containers"]).iter().chain(pod.list(&["spec", "initContainers"]));
    class_of(containers.map(|container| container.get("resources").unwrap_or(&Value::Null)))
}

fn has_amounts(resources: &Value) -> bool {
    ["requests", "limits"].iter().any(|part| !amounts(resources, part).is_empty())
}

fn class_of<'a>(parts: impl Iterator<Item = &'a Value>) -> &'static str {
    let (mut best_effort, mut guaranteed) = (true, true);
    for resources in parts {
        let (requests, limits) = (amounts(resources, "requests"), amounts(resources, "limits"));
        best_effort &= requests.is_empty() && limits.is_empty();
        guaranteed &= limits.len() == COUNTED.len() && requests == limits;
    }
    match (best_effort, guaranteed) {
        (true, _) => "BestEffort",
        (_, true) => "Guaranteed",
        _ => "Burstable",
    }
}

/// Cpu and memory in thousandths, without zeros.
fn amounts(resources: &Value, part: &str) -> BTreeMap<&'static str, i128> {
    let amounts = resources.get(part).and_then(Value::as_object);
    COUNTED.iter().filter_map(|resource| Some((*resource, milli(amounts?, resource)?))).collect()
}

fn milli(amounts: &Map, resource: &str) -> Option<i128> {
    let amount = crate::columns::scalar(amounts.get(resource)?);
    Quantity::parse(&amount).ok().map(|quantity| quantity.milli_value()).filter(|milli| *milli > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn class(resources: &[Value]) -> &'static str {
        let containers: Vec<Value> = resources.iter().map(|resources| json!({"resources": resources})).collect();
        qos_class(&Object::from_value(json!({"spec": {"containers": containers}})).unwrap())
    }

    #[test]
    fn classes_follow_requests_and_limits() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}});
        let part = json!({"requests": {"cpu": "1"}});
        assert_eq!(class(&[json!({})]), "BestEffort");
        assert_eq!(class(&[json!({"requests": {"cpu": "0"}})]), "BestEffort");
        assert_eq!(class(std::slice::from_ref(&full)), "Guaranteed");
        assert_eq!(class(&[full.clone(), full.clone()]), "Guaranteed");
        assert_eq!(class(&[full.clone(), json!({})]), "Burstable");
        assert_eq!(class(&[part]), "Burstable");
    }
}
