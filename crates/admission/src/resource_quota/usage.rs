//! What an object uses, by the names quotas count by.

use kinds::KindDef;
use machinery::Object;
use machinery::quantity::{Format, Quantity};
use serde_json::Value;

use crate::pods::{self, Amounts, amounts};

/// Core resources that have a name of their own besides `count/RESOURCE`.
const COUNTED: [&str; 6] =
    ["services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims"];

/// Amounts that every container must name when a quota limits them.
const COMPUTE: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Resources whose requests count under their bare name too.
const BARE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

const STORAGE_CLASS_SUFFIX: &str = "storageclass.storage.k8s.io";

pub fn of(kind: &KindDef, object: &Object) -> Amounts {
    let mut usage = Amounts::new();
    let one = Quantity::from_value(1, Format::DecimalSi);
    usage.insert(format!("count/{}", kind.group_resource()), one);
    if kind.group.is_empty() && COUNTED.contains(&kind.resource) {
        usage.insert(kind.resource.to_owned(), one);
    }
    match (kind.group, kind.resource) {
        ("", "pods") => usage.extend(pod(object)),
        ("", "services") => usage.extend(service(object)),
        ("", "persistentvolumeclaims") => usage.extend(claim(object)),
        _ => {}
    }
    usage
}

/// A pod that has ended uses nothing.
fn pod(pod: &Object) -> Amounts {
    let mut usage = Amounts::new();
    if matches!(pod.str(&["status", "phase"]), "Succeeded" | "Failed") {
        return usage;
    }
    usage.insert("pods".to_owned(), Quantity::from_value(1, Format::DecimalSi));
    for (name, amount) in pods::total(pod, "requests") {
        if BARE.contains(&name.as_str()) || name.starts_with("hugepages-") {
            usage.insert(name.clone(), amount);
        }
        usage.insert(format!("requests.{name}"), amount);
    }
    for (name, amount) in pods::total(pod, "limits").into_iter().filter(|(name, _)| BARE.contains(&name.as_str())) {
        usage.insert(format!("limits.{name}"), amount);
    }
    usage
}

fn service(service: &Object) -> Amounts {
    let kind = service.str(&["spec", "type"]);
    let ports = service.list(&["spec", "ports"]).len() as i128;
    let allocates = service.get(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false));
    let node_ports = match kind {
        "NodePort" => ports,
        "LoadBalancer" if allocates => ports,
        _ => 0,
    };
    let whole = |value| Quantity::from_value(value, Format::DecimalSi);
    [
        ("services.nodeports".to_owned(), whole(node_ports)),
        ("services.loadbalancers".to_owned(), whole(i128::from(kind == "LoadBalancer"))),
    ]
    .into()
}

fn claim(claim: &Object) -> Amounts {
    let mut usage = Amounts::new();
    let class = claim.str(&["spec", "storageClassName"]);
    if !class.is_empty() {
        let one = Quantity::from_value(1, Format::DecimalSi);
        usage.insert(format!("{class}.{STORAGE_CLASS_SUFFIX}/persistentvolumeclaims"), one);
    }
    if let Some(storage) = amounts(claim.get(&["spec", "resources", "requests"])).get("storage") {
        usage.insert("requests.storage".to_owned(), *storage);
        if !class.is_empty() {
            usage.insert(format!("{class}.{STORAGE_CLASS_SUFFIX}/requests.storage"), *storage);
        }
    }
    usage
}

/// Limited amounts that containers leave open: `limits.cpu for: a,b; memory for: a`.
pub fn unspecified(pod: &Object, hard: &Amounts) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut wanted: Vec<&str> = COMPUTE.into_iter().filter(|name| hard.contains_key(*name)).collect();
    wanted.sort_unstable();
    for name in wanted {
        let (list, resource) = name.split_once('.').unwrap_or(("requests", name));
        let whole = pod.get(&["spec", "resources", list, resource]).is_some();
        let open: Vec<&str> = pods::lasting_containers(pod)
            .filter(|container| !whole && container["resources"][list].get(resource).is_none())
            .filter_map(|container| container["name"].as_str())
            .collect();
        if !open.is_empty() {
            parts.push(format!("{name} for: {}", open.join(",")));
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn usage(resource: &str, json: &str) -> Vec<String> {
        let kind = kinds::find("", "v1", resource).unwrap();
        of(kind, &object(json)).iter().map(|(name, amount)| format!("{name}={amount}")).collect()
    }

    #[test]
    fn objects_use_what_they_are() {
        assert_eq!(
            usage(
                "pods",
                r#"{"spec":{"containers":[{"resources":{"requests":{"cpu":"1","x.io/gpu":"2"},"limits":{"cpu":"2"}}}]}}"#
            ),
            ["count/pods=1", "cpu=1", "limits.cpu=2", "pods=1", "requests.cpu=1", "requests.x.io/gpu=2"]
        );
        assert_eq!(usage("pods", r#"{"status":{"phase":"Failed"}}"#), ["count/pods=1"]);
        assert_eq!(
            usage("services", r#"{"spec":{"type":"LoadBalancer","ports":[{},{}]}}"#),
            ["count/services=1", "services=1", "services.loadbalancers=1", "services.nodeports=2"]
        );
        assert_eq!(
            usage(
                "persistentvolumeclaims",
                r#"{"spec":{"storageClassName":"ssd","resources":{"requests":{"storage":"1Gi"}}}}"#
            ),
            [
                "count/persistentvolumeclaims=1",
                "persistentvolumeclaims=1",
                "requests.storage=1Gi",
                "ssd.storageclass.storage.k8s.io/persistentvolumeclaims=1",
                "ssd.storageclass.storage.k8s.io/requests.storage=1Gi"
            ]
        );
    }
}
