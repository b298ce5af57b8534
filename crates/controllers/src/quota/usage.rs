//! What pods, services and claims use, by the names that quotas count by.
//! (upstream: pkg/quota/v1/evaluator/core)

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, PersistentVolumeClaim, Pod, ResourceQuotaSpec, ScopedResourceSelectorRequirement, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use machinery::quantity::{Format, Quantity};

pub type Amounts = BTreeMap<String, Quantity>;

/// Resources whose requests count under their bare name too.
const BARE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub fn whole(count: usize) -> Quantity {
    Quantity::from_value(i128::try_from(count).unwrap_or(i128::MAX), Format::DecimalSi)
}

pub fn add(total: &mut Amounts, more: Amounts) {
    for (name, amount) in more {
        let sum = total.entry(name).or_insert(Quantity::ZERO);
        *sum = if sum.is_zero() { amount } else { *sum + amount };
    }
}

/// Amounts that cannot be read count as nothing: the server has checked them.
fn parse(list: Option<&BTreeMap<String, ApiQuantity>>) -> Amounts {
    let parsed =
        list.into_iter().flatten().filter_map(|(name, text)| Some((name.clone(), Quantity::parse(&text.0).ok()?)));
    parsed.collect()
}

fn of_container(container: &Container, limits: bool) -> Amounts {
    let resources = container.resources.as_ref();
    parse(resources.and_then(|resources| if limits { resources.limits.as_ref() } else { resources.requests.as_ref() }))
}

fn raise(total: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let present = total.entry(name.clone()).or_insert(*amount);
        *present = (*present).max(*amount);
    }
}

/// What a pod asks for: its containers together, or the most that its start needs at once.
fn total(pod: &Pod, limits: bool) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::new() };
    let mut sum = Amounts::new();
    spec.containers.iter().for_each(|container| add(&mut sum, of_container(container, limits)));
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut at_once = sidecars.clone();
        add(&mut at_once, of_container(container, limits));
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.clone_from(&at_once);
        }
        raise(&mut starting, &at_once);
    }
    add(&mut sum, sidecars);
    raise(&mut sum, &starting);
    let whole_pod = spec.resources.as_ref();
    let stated = whole_pod.and_then(|pod| if limits { pod.limits.as_ref() } else { pod.requests.as_ref() });
    sum.extend(parse(stated));
    add(&mut sum, parse(spec.overhead.as_ref()));
    sum
}

/// A pod that has ended uses nothing.
pub fn pod(pod: &Pod) -> Amounts {
    let mut usage = Amounts::from([("count/pods".to_owned(), whole(1))]);
    if control::pods::is_finished(pod) {
        return usage;
    }
    usage.insert("pods".to_owned(), whole(1));
    for (name, amount) in total(pod, false) {
        if BARE.contains(&name.as_str()) || name.starts_with("hugepages-") {
            usage.insert(name.clone(), amount);
        }
        usage.insert(format!("requests.{name}"), amount);
    }
    let limits = total(pod, true).into_iter().filter(|(name, _)| BARE.contains(&name.as_str()));
    usage.extend(limits.map(|(name, amount)| (format!("limits.{name}"), amount)));
    usage
}

pub fn service(service: &Service) -> Amounts {
    let spec = service.spec.clone().unwrap_or_default();
    let type_ = spec.type_.as_deref().unwrap_or_default();
    let allocates = spec.allocate_load_balancer_node_ports != Some(false);
    let has_node_ports = type_ == "NodePort" || (type_ == "LoadBalancer" && allocates);
    let ports = spec.ports.map_or(0, |ports| ports.len());
    Amounts::from([
        ("services.nodeports".to_owned(), whole(if has_node_ports { ports } else { 0 })),
        ("services.loadbalancers".to_owned(), whole(usize::from(type_ == "LoadBalancer"))),
    ])
}

pub fn claim(claim: &PersistentVolumeClaim) -> Amounts {
    let spec = claim.spec.clone().unwrap_or_default();
    let requests = spec.resources.and_then(|resources| resources.requests);
    let storage = parse(requests.as_ref()).get("storage").copied();
    let mut usage = Amounts::new();
    let class = spec.storage_class_name.filter(|class| !class.is_empty());
    let prefix = class.map(|class| format!("{class}.storageclass.storage.k8s.io/"));
    if let Some(prefix) = &prefix {
        usage.insert(format!("{prefix}persistentvolumeclaims"), whole(1));
    }
    if let Some(storage) = storage {
        usage.insert("requests.storage".to_owned(), storage);
        if let Some(prefix) = &prefix {
            usage.insert(format!("{prefix}requests.storage"), storage);
        }
    }
    usage
}

/// Whether a quota's scopes admit the pod.
pub fn in_scope(spec: &ResourceQuotaSpec, pod: &Pod) -> bool {
    let selected = spec.scope_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten());
    spec.scopes.iter().flatten().all(|scope| scope_holds(scope, pod))
        && selected.into_iter().all(|term| term_holds(term, pod))
}

fn scope_holds(scope: &str, pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let terminating = spec.and_then(|spec| spec.active_deadline_seconds).is_some_and(|seconds| seconds >= 0);
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => priority_class(pod).is_some(),
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

fn term_holds(term: &ScopedResourceSelectorRequirement, pod: &Pod) -> bool {
    if term.scope_name != "PriorityClass" {
        return scope_holds(&term.scope_name, pod);
    }
    let class = priority_class(pod);
    let listed = || class.is_some_and(|class| term.values.iter().flatten().any(|value| value == class));
    match term.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => class.is_some(),
        "DoesNotExist" => class.is_none(),
        _ => false,
    }
}

fn priority_class(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.priority_class_name.as_deref().filter(|name| !name.is_empty())
}

fn is_best_effort(pod: &Pod) -> bool {
    let is_set = |name: &String| name == "cpu" || name == "memory";
    !total(pod, false).keys().any(is_set) && !total(pod, true).keys().any(is_set)
}

fn crosses_namespaces(pod: &Pod) -> bool {
    let Some(affinity) = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()) else { return false };
    let near = affinity.pod_affinity.as_ref();
    let far = affinity.pod_anti_affinity.as_ref();
    let required = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref());
    let refused = far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_ref());
    let wished = near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref());
    let shunned = far.and_then(|far| far.preferred_during_scheduling_ignored_during_execution.as_ref());
    let hard = required.into_iter().chain(refused).flatten();
    let soft = wished.into_iter().chain(shunned).flatten().map(|weighted| &weighted.pod_affinity_term);
    hard.chain(soft)
        .any(|term| term.namespace_selector.is_some() || term.namespaces.as_ref().is_some_and(|n| !n.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn make(spec: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": {}, "spec": spec })).expect("a pod")
    }

    fn say(amounts: &Amounts) -> Vec<String> {
        amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect()
    }

    #[test]
    fn a_pod_uses_its_containers_or_what_its_start_needs() {
        let cpu = |amount: &str| json!({ "name": "c", "resources": { "requests": { "cpu": amount } } });
        let side = json!({ "name": "s", "restartPolicy": "Always", "resources": { "requests": { "cpu": "100m" } } });
        let running = make(&json!({ "containers": [cpu("500m"), cpu("500m")], "initContainers": [cpu("600m"), side] }));
        assert_eq!(say(&pod(&running)), ["count/pods=1", "cpu=1100m", "pods=1", "requests.cpu=1100m"]);
        let starting = make(&json!({ "containers": [cpu("500m")], "initContainers": [cpu("2")] }));
        assert_eq!(say(&pod(&starting)), ["count/pods=1", "cpu=2", "pods=1", "requests.cpu=2"]);
    }

    #[test]
    fn scopes_choose_pods() {
        let plain = make(&json!({ "containers": [{ "name": "c" }] }));
        let short = make(&json!({ "activeDeadlineSeconds": 5, "containers": [{ "name": "c" }] }));
        let quota =
            |scope: &str| ResourceQuotaSpec { scopes: Some(vec![scope.to_owned()]), ..ResourceQuotaSpec::default() };
        assert!(in_scope(&quota("BestEffort"), &plain) && !in_scope(&quota("NotBestEffort"), &plain));
        assert!(in_scope(&quota("Terminating"), &short) && !in_scope(&quota("Terminating"), &plain));
    }

    #[test]
    fn node_ports_and_storage_are_counted() {
        let balanced =
            json!({ "metadata": {}, "spec": { "type": "LoadBalancer", "ports": [{ "port": 1 }, { "port": 2 }] } });
        let balanced: Service = serde_json::from_value(balanced).expect("a service");
        assert_eq!(say(&service(&balanced)), ["services.loadbalancers=1", "services.nodeports=2"]);
        let stored = json!({ "metadata": {}, "spec": { "storageClassName": "ssd", "resources": { "requests": { "storage": "1Gi" } } } });
        let stored: PersistentVolumeClaim = serde_json::from_value(stored).expect("a claim");
        let expected = [
            "requests.storage=1Gi",
            "ssd.storageclass.storage.k8s.io/persistentvolumeclaims=1",
            "ssd.storageclass.storage.k8s.io/requests.storage=1Gi",
        ];
        assert_eq!(say(&claim(&stored)), expected);
    }
}
