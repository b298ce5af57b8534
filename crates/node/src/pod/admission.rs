//! Whether this node takes a pod that was bound to it. Pure.
//!
//! upstream: pkg/kubelet/lifecycle/predicate.go

use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Pod};
use std::collections::BTreeMap;

use super::spec;
use super::state::Verdict;
use crate::resources::{Bound, total};

/// What the node has and who is on it.
pub struct Capacity<'a> {
    /// Thousandths of a CPU.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    pub storage: i64,
    pub pods: i64,
    pub node_name: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    /// Those that were taken and have not ended.
    pub others: &'a [Arc<Pod>],
}

/// Why the pod is refused, or nothing when it is taken.
pub fn admit(pod: &Pod, node: &Capacity<'_>) -> Option<Verdict> {
    resources(pod, node).or_else(|| affinity(pod, node)).or_else(|| host_ports(pod, node))
}

fn resources(pod: &Pod, node: &Capacity<'_>) -> Option<Verdict> {
    let used = |resource: &str| node.others.iter().map(|pod| total(pod, resource, Bound::Request)).sum::<i64>();
    let asked = |resource: &str| total(pod, resource, Bound::Request);
    let bytes = |milli: i64| milli / 1000;
    let checks = [
        ("pods", 1, node.others.len() as i64, node.pods),
        ("cpu", asked("cpu"), used("cpu"), node.cpu),
        ("memory", bytes(asked("memory")), bytes(used("memory")), node.memory),
        ("ephemeral-storage", bytes(asked("ephemeral-storage")), bytes(used("ephemeral-storage")), node.storage),
    ];
    let short = checks.into_iter().find(|(_, asked, used, capacity)| *asked > 0 && used + asked > *capacity);
    short.map(|(resource, asked, used, capacity)| Verdict {
        reason: format!("OutOf{resource}"),
        message: format!(
            "Node didn't have enough resource: {resource}, requested: {asked}, used: {used}, capacity: {capacity}"
        ),
    })
}

/// Whether the pod asks for anything of a node's labels.
pub fn selects_nodes(pod: &Pod) -> bool {
    let spec = spec::spec(pod);
    let affinity = spec.affinity.as_ref().is_some_and(|affinity| affinity.node_affinity.is_some());
    affinity || spec.node_selector.as_ref().is_some_and(|selector| !selector.is_empty())
}

fn affinity(pod: &Pod, node: &Capacity<'_>) -> Option<Verdict> {
    let spec = spec::spec(pod);
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| node.labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let matches =
        required.is_none_or(|required| required.node_selector_terms.iter().any(|term| term_matches(term, node)));
    (!(selected && matches)).then(|| Verdict {
        reason: "NodeAffinity".into(),
        message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".into(),
    })
}

fn term_matches(term: &NodeSelectorTerm, node: &Capacity<'_>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let named = |key: &str| (key == "metadata.name").then_some(node.node_name);
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|one| holds(one, node.labels.get(&one.key).map(String::as_str)))
        && fields.iter().all(|one| holds(one, named(&one.key)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|listed| listed == value));
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(value, bound)| value > bound),
        "Lt" => numbers().is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

type HostPort = (String, i32, String);

fn host_ports(pod: &Pod, node: &Capacity<'_>) -> Option<Verdict> {
    let taken: Vec<HostPort> = node.others.iter().flat_map(|pod| ports_of(pod)).collect();
    let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
    let clash = |(protocol, port, ip): &HostPort| {
        taken.iter().any(|(p, n, i)| p == protocol && n == port && (any(i) || any(ip) || i == ip))
    };
    ports_of(pod).iter().any(clash).then(|| Verdict {
        reason: "NodePorts".into(),
        message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports".into(),
    })
}

fn ports_of(pod: &Pod) -> Vec<HostPort> {
    let containers = spec::containers(pod);
    let ports = containers.iter().flat_map(|(_, container)| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some((protocol, number, port.host_ip.clone().unwrap_or_default()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value, cpu: &str) -> Arc<Pod> {
        let mut spec = spec;
        spec["containers"] =
            json!([{"name": "c", "resources": {"requests": {"cpu": cpu}}, "ports": spec["ports"].take()}]);
        Arc::new(serde_json::from_value(json!({"spec": spec})).unwrap())
    }

    fn verdict(pod: &Pod, others: &[Arc<Pod>]) -> String {
        let labels = BTreeMap::from([("disk".to_string(), "ssd".to_string())]);
        let node = Capacity {
            cpu: 1000,
            memory: 1 << 30,
            storage: 1 << 30,
            pods: 3,
            node_name: "n1",
            labels: &labels,
            others,
        };
        admit(pod, &node).map(|verdict| format!("{}: {}", verdict.reason, verdict.message)).unwrap_or_default()
    }

    #[test]
    fn a_pod_must_fit() {
        let small = pod(json!({}), "400m");
        assert_eq!(verdict(&small, std::slice::from_ref(&small)), "");
        assert_eq!(
            verdict(&small, &[small.clone(), small.clone()]),
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 400, used: 800, capacity: 1000"
        );
        let free = pod(json!({}), "0");
        assert_eq!(
            verdict(&free, &[free.clone(), free.clone(), free.clone()]),
            "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"
        );
    }

    #[test]
    fn a_pod_must_match_the_node() {
        let mismatch = "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        assert_eq!(verdict(&pod(json!({"nodeSelector": {"disk": "ssd"}}), "0"), &[]), "");
        assert_eq!(verdict(&pod(json!({"nodeSelector": {"disk": "hdd"}}), "0"), &[]), mismatch);
        let affinity = |term: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}});
        let by_name = |name: &str| {
            affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}))
        };
        assert_eq!(verdict(&pod(by_name("n1"), "0"), &[]), "");
        assert_eq!(verdict(&pod(by_name("n2"), "0"), &[]), mismatch);
        assert_eq!(verdict(&pod(affinity(json!({})), "0"), &[]), mismatch);
    }

    #[test]
    fn host_ports_do_not_clash() {
        let port = |number: i32, ip: &str| {
            pod(json!({"ports": [{"containerPort": 1, "hostPort": number, "hostIP": ip}]}), "0")
        };
        let clash = "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        assert_eq!(verdict(&port(80, ""), &[port(80, "10.0.0.1")]), clash);
        assert_eq!(verdict(&port(80, "10.0.0.2"), &[port(80, "10.0.0.1")]), "");
        assert_eq!(verdict(&port(81, ""), &[port(80, "")]), "");
    }
}
