//! What objects use of ResourceQuotas, by the names that quotas count by: for admission, which raises the
//! numbers when something is made, and for the controller that counts anew.
//!
//! upstream: pkg/quota/v1/evaluator/core

mod amounts;
mod scopes;

pub use amounts::{Amounts, add, amounts, lasting_containers, pod_total, quantity};
pub use scopes::{fits, fits_scope, is_terminating, scopes as scopes_of};

use jiff::{SignedDuration, Timestamp};
use machinery::Object;
use machinery::quantity::{Format, Quantity};
use serde_json::Value;

use crate::KindDef;
use amounts::{pod_holds, raise};

/// Core resources that have a name of their own besides `count/RESOURCE`.
const COUNTED: [&str; 6] =
    ["services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims"];

/// Amounts that every container must name when a quota limits them.
const COMPUTE: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Resources whose requests count under their bare name too.
const BARE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
const STORAGE_CLASS_BETA: &str = "volume.beta.kubernetes.io/storage-class";

/// `gpu.deviceclass.resource.k8s.io/devices`
pub const DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
/// The most devices that one claim can get.
const DEVICES_MAX: i128 = 32;

pub fn whole(count: i128) -> Quantity {
    Quantity::from_value(count, Format::DecimalSi)
}

pub fn usage(kind: &KindDef, object: &Object) -> Amounts {
    let mut usage = Amounts::from([(format!("count/{}", kind.group_resource()), whole(1))]);
    if kind.group.is_empty() && COUNTED.contains(&kind.resource) {
        usage.insert(kind.resource.to_owned(), whole(1));
    }
    match (kind.group, kind.resource) {
        ("", "pods") => usage.extend(pod(object)),
        ("", "services") => usage.extend(service(object)),
        ("", "persistentvolumeclaims") => usage.extend(claim(object)),
        ("resource.k8s.io", "resourceclaims") => usage.extend(devices(object)),
        _ => {}
    }
    usage
}

/// A pod that has ended uses nothing, nor does one that its node had to end by now.
fn pod(pod: &Object) -> Amounts {
    let ended = matches!(pod.str(&["status", "phase"]), "Succeeded" | "Failed");
    if ended || due(pod).is_some_and(|due| due < clock::now()) {
        return Amounts::new();
    }
    let mut usage = Amounts::from([("pods".to_owned(), whole(1))]);
    for (name, amount) in pod_holds(pod, "requests") {
        if BARE.contains(&name.as_str()) || name.starts_with("hugepages-") {
            usage.insert(name.clone(), amount);
        }
        usage.insert(format!("requests.{name}"), amount);
    }
    let limits = pod_holds(pod, "limits").into_iter().filter(|(name, _)| BARE.contains(&name.as_str()));
    usage.extend(limits.map(|(name, amount)| (format!("limits.{name}"), amount)));
    usage
}

/// When a pod that is being deleted counts no more, whether it is gone by then or not.
pub fn due(pod: &Object) -> Option<Timestamp> {
    let deleted: Timestamp = pod.str(&["metadata", "deletionTimestamp"]).parse().ok()?;
    let grace = pod.int(&["metadata", "deletionGracePeriodSeconds"])?;
    deleted.checked_add(SignedDuration::from_secs(grace)).ok()
}

fn service(service: &Object) -> Amounts {
    let ports = service.list(&["spec", "ports"]);
    let chosen = ports.iter().filter(|port| port["nodePort"].as_i64().is_some_and(|port| port != 0));
    let allocates = service.get(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false));
    let kind = service.str(&["spec", "type"]);
    let node_ports = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if allocates => ports.len(),
        "LoadBalancer" => chosen.count(),
        _ => 0,
    };
    Amounts::from([
        ("services.nodeports".to_owned(), whole(node_ports as i128)),
        ("services.loadbalancers".to_owned(), whole(i128::from(kind == "LoadBalancer"))),
    ])
}

/// What a claim asks for, and what a growing one was given beyond that; in whole bytes.
fn claim(claim: &Object) -> Amounts {
    let mut usage = Amounts::new();
    let storage = |path: &[&str]| amounts(claim.get(path)).remove("storage");
    if let Some(asked) = storage(&["spec", "resources", "requests"]) {
        let most = storage(&["status", "allocatedResources"]).filter(|given| *given > asked).unwrap_or(asked);
        usage.insert("requests.storage".to_owned(), Quantity::from_value(most.value(), most.format()));
    }
    let class = claim.annotation(STORAGE_CLASS_BETA).unwrap_or_else(|| claim.str(&["spec", "storageClassName"]));
    if !class.is_empty() {
        let of_class = usage.clone().into_iter().chain([("persistentvolumeclaims".to_owned(), whole(1))]);
        let of_class: Amounts =
            of_class.map(|(name, amount)| (format!("{class}{STORAGE_CLASS}{name}"), amount)).collect();
        usage.extend(of_class);
    }
    usage
}

/// The devices of each class that a claim may get at most.
fn devices(claim: &Object) -> Amounts {
    let mut usage = Amounts::new();
    for request in claim.list(&["spec", "devices", "requests"]) {
        let choices = request["firstAvailable"].as_array().filter(|choices| !choices.is_empty());
        let mut most = Amounts::new();
        match choices {
            Some(choices) => choices.iter().for_each(|choice| raise(&mut most, &of_class(choice))),
            // Older versions have what is asked for in the request itself.
            None => most.extend(of_class(request.get("exactly").unwrap_or(request))),
        }
        add(&mut usage, &most);
    }
    usage
}

fn of_class(request: &Value) -> Amounts {
    let Some(class) = request["deviceClassName"].as_str() else { return Amounts::new() };
    let count = match request["allocationMode"].as_str().unwrap_or_default() {
        "ExactCount" => request["count"].as_i64().unwrap_or_default().into(),
        "All" => DEVICES_MAX,
        _ => 0,
    };
    Amounts::from([(format!("{class}{DEVICE_CLASS}"), whole(count))])
}

/// Limited amounts that containers leave open: `limits.cpu for: a,b; memory for: a`. A pod that states amounts as a
/// whole leaves none.
pub fn unspecified(pod: &Object, hard: &Amounts) -> String {
    let whole = |list| pod.map(&["spec", "resources", list]).is_some_and(|amounts| !amounts.is_empty());
    if whole("requests") || whole("limits") {
        return String::new();
    }
    let mut wanted: Vec<&str> = COMPUTE.into_iter().filter(|name| hard.contains_key(*name)).collect();
    wanted.sort_unstable();
    let parts = wanted.iter().filter_map(|name| {
        let (list, resource) = name.split_once('.').unwrap_or(("requests", name));
        let open = lasting_containers(pod).filter(|container| container["resources"][list].get(resource).is_none());
        let mut open: Vec<&str> = open.filter_map(|container| container["name"].as_str()).collect();
        open.sort_unstable();
        (!open.is_empty()).then(|| format!("{name} for: {}", open.join(",")))
    });
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn used(resource: &str, object: Value) -> String {
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let kind = crate::find(group, "v1", resource).expect("a kind");
        let usage = usage(kind, &Object::from_value(object).expect("an object"));
        usage.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn objects_use_what_they_are() {
        let full = json!({"requests": {"cpu": "1", "x.io/gpu": "2", "hugepages-2Mi": "4Mi"}, "limits": {"cpu": "2"}});
        let deleted = |seconds: i64| {
            let at = clock::format_time(clock::now() - SignedDuration::from_secs(seconds));
            json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": 30}})
        };
        for (resource, object, expected) in [
            (
                "pods",
                json!({"spec": {"containers": [{"resources": full}]}}),
                "count/pods=1 cpu=1 hugepages-2Mi=4Mi limits.cpu=2 pods=1 requests.cpu=1 requests.hugepages-2Mi=4Mi \
                 requests.x.io/gpu=2",
            ),
            ("pods", json!({"status": {"phase": "Failed"}}), "count/pods=1"),
            ("pods", deleted(10), "count/pods=1 pods=1"),
            ("pods", deleted(60), "count/pods=1"),
            ("configmaps", json!({}), "configmaps=1 count/configmaps=1"),
            ("deployments.apps", json!({}), "count/deployments.apps=1"),
        ] {
            assert_eq!(used(resource, object), expected);
        }
    }

    #[test]
    fn services_use_ports_of_nodes() {
        let service = |type_: &str, allocates: bool| {
            json!({"spec": {"type": type_, "allocateLoadBalancerNodePorts": allocates,
                "ports": [{"port": 1}, {"port": 2, "nodePort": 30000}]}})
        };
        for (service, balancers, ports) in [
            (service("ClusterIP", true), 0, 0),
            (service("ExternalName", true), 0, 0),
            (service("NodePort", true), 0, 2),
            (service("LoadBalancer", true), 1, 2),
            (service("LoadBalancer", false), 1, 1),
        ] {
            let expected =
                format!("count/services=1 services=1 services.loadbalancers={balancers} services.nodeports={ports}");
            assert_eq!(used("services", service), expected);
        }
    }

    #[test]
    fn claims_use_storage_of_their_class() {
        let count = "count/persistentvolumeclaims=1 persistentvolumeclaims=1";
        let asking = |storage: &str| json!({"spec": {"resources": {"requests": {"storage": storage}}}});
        let mut growing = asking("1Gi");
        growing["status"] = json!({"allocatedResources": {"storage": "3Gi"}});
        let mut annotated = asking("1Gi");
        annotated["metadata"] = json!({"annotations": {STORAGE_CLASS_BETA: "ssd"}});
        annotated["spec"]["storageClassName"] = json!("other");
        for (claim, expected) in [
            (json!({}), count.to_owned()),
            (asking("1Gi"), format!("{count} requests.storage=1Gi")),
            (asking("1500m"), format!("{count} requests.storage=2")),
            (growing, format!("{count} requests.storage=3Gi")),
            (
                annotated,
                format!(
                    "{count} requests.storage=1Gi ssd.storageclass.storage.k8s.io/persistentvolumeclaims=1 \
                     ssd.storageclass.storage.k8s.io/requests.storage=1Gi"
                ),
            ),
        ] {
            assert_eq!(used("persistentvolumeclaims", claim), expected);
        }
    }

    #[test]
    fn device_claims_use_the_most_they_may_get_of_each_class() {
        let exact =
            |class: &str, count: i64| json!({"deviceClassName": class, "allocationMode": "ExactCount", "count": count});
        let all = json!({"deviceClassName": "gpu", "allocationMode": "All"});
        let claim = |requests: Value| {
            used("resourceclaims.resource.k8s.io", json!({"spec": {"devices": {"requests": requests}}}))
        };
        let count = "count/resourceclaims.resource.k8s.io=1";
        assert_eq!(claim(json!([])), count);
        assert_eq!(
            claim(json!([{"exactly": exact("gpu", 2)}, {"exactly": exact("gpu", 1)}, {"exactly": exact("nic", 1)}])),
            format!("{count} gpu.deviceclass.resource.k8s.io/devices=3 nic.deviceclass.resource.k8s.io/devices=1")
        );
        assert_eq!(claim(json!([{"exactly": all}])), format!("{count} gpu.deviceclass.resource.k8s.io/devices=32"));
        assert_eq!(
            claim(json!([{"firstAvailable": [exact("gpu", 2), exact("gpu", 4), exact("nic", 1)]}])),
            format!("{count} gpu.deviceclass.resource.k8s.io/devices=4 nic.deviceclass.resource.k8s.io/devices=1")
        );
    }

    #[test]
    fn limited_amounts_must_be_stated() {
        let hard = |names: &str| names.split(' ').map(|name| (name.to_owned(), whole(1))).collect::<Amounts>();
        let container = |name: &str, resources: Value| json!({"name": name, "resources": resources});
        let full = json!({"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}});
        for (names, spec, expected) in [
            ("cpu memory", json!({"containers": [container("a", full.clone())]}), ""),
            ("pods requests.ephemeral-storage", json!({"containers": [container("a", json!({}))]}), ""),
            (
                "limits.cpu memory",
                json!({"containers": [container("b", json!({})), container("a", json!({"limits": {"cpu": "1"}}))],
                    "initContainers": [container("i", full)]}),
                "limits.cpu for: b; memory for: a,b",
            ),
            (
                "cpu memory",
                json!({"containers": [container("a", json!({}))], "resources": {"requests": {"cpu": "1"}}}),
                "",
            ),
        ] {
            let pod = Object::from_value(json!({ "spec": spec })).expect("a pod");
            assert_eq!(unspecified(&pod, &hard(names)), expected, "{names}");
        }
    }
}
