//! What writes of a pod may touch, and how long it may take to stop.
//!
//! upstream: pkg/registry/core/pod/strategy.go

use std::collections::HashMap;

use machinery::Object;
use serde_json::{Value, json};

use super::qos::qos_class;
use crate::def::{Reset, keep_all_but_status, keep_status};
use crate::tree::{list_of, str_of};

/// A new pod is pending, whatever it says.
pub fn prepare_create(pod: &mut Object) {
    let mut status = json!({"phase": "Pending", "qosClass": qos_class(pod)});
    if !pod.list(&["spec", "schedulingGates"]).is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": clock::format_time(clock::now()),
        }]);
    }
    pod.set(&["status"], status);
}

pub fn prepare_update(new: &mut Object, old: &Object) {
    keep_status(new, old);
}

/// The class of service is fixed at creation; ephemeral containers and owners are not the node's to write.
pub fn prepare_status_update(new: &mut Object, old: &Object) {
    keep_all_but_status(new, old);
    new.remove(&["metadata", "deletionTimestamp"]);
    if let Some(at) = old.get(&["metadata", "deletionTimestamp"]) {
        new.set(&["metadata", "deletionTimestamp"], at.clone());
    }
    if let Some(owners) = old.get(&["metadata", "ownerReferences"]) {
        new.set(&["metadata", "ownerReferences"], owners.clone());
    }
    if new.str(&["status", "qosClass"]).is_empty() {
        new.set(&["status", "qosClass"], qos_class(old));
    }
}

/// What clients write through `ephemeralcontainers` and `resize` changes that part alone. The other
/// subresources (binding, eviction) are written by the server itself.
pub fn prepare_subresource_update(new: &mut Object, old: &Object, subresource: &str) {
    match subresource {
        "ephemeralcontainers" => keep_all_but(new, old, copy_ephemeral_containers),
        "resize" => keep_all_but(new, old, |pod, spec| {
            copy_resources(pod, spec, "containers");
            copy_resources(pod, spec, "initContainers");
        }),
        _ => {}
    }
}

/// Which fields get a manager by such writes.
pub fn reset(subresource: &str) -> Option<Reset> {
    match subresource {
        "ephemeralcontainers" => Some(Reset::AllBut(&[&["spec", "ephemeralContainers"]])),
        "resize" => Some(Reset::AllBut(&[
            &["spec", "containers", "*", "resources"],
            &["spec", "containers", "*", "resizePolicy"],
            &["spec", "initContainers", "*", "resources"],
            &["spec", "initContainers", "*", "resizePolicy"],
        ])),
        _ => None,
    }
}

/// The old pod, with what `copy` takes from the new spec; the version stays the one the client wrote, and what it
/// wrote has its manager.
fn keep_all_but(new: &mut Object, old: &Object, copy: fn(&mut Object, &Value)) {
    let written = std::mem::replace(new, old.clone());
    if !written.resource_version().is_empty() {
        new.set(&["metadata", "resourceVersion"], written.resource_version());
    }
    if let Some(managers) = written.get(&["metadata", "managedFields"]) {
        new.set(&["metadata", "managedFields"], managers.clone());
    }
    copy(new, written.get(&["spec"]).unwrap_or(&Value::Null));
}

fn copy_ephemeral_containers(pod: &mut Object, spec: &Value) {
    let containers = list_of(spec, "ephemeralContainers").to_vec();
    if containers.is_empty() {
        pod.remove(&["spec", "ephemeralContainers"]);
    } else {
        pod.set(&["spec", "ephemeralContainers"], containers);
    }
}

fn copy_resources(pod: &mut Object, spec: &Value, list: &str) {
    let by_name: HashMap<&str, &Value> =
        list_of(spec, list).iter().rev().map(|written| (str_of(written, "name"), written)).collect();
    let Some(containers) = pod.map_mut(&["spec"]).get_mut(list).and_then(Value::as_array_mut) else { return };
    if containers.len() != list_of(spec, list).len() {
        // For validation to refuse.
        *containers = list_of(spec, list).to_vec();
        return;
    }
    for container in containers.iter_mut().filter_map(Value::as_object_mut) {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(written) = by_name.get(name) else { continue };
        for field in ["resources", "resizePolicy"] {
            match written.get(field) {
                Some(value) => container.insert(field.to_owned(), value.clone()),
                None => container.remove(field),
            };
        }
    }
}

/// What the client asks for, else the pod's own; a pod that runs nowhere or has finished needs none.
pub fn grace(pod: &Object, asked: Option<i64>) -> Option<i64> {
    let finished = matches!(pod.str(&["status", "phase"]), "Failed" | "Succeeded");
    if pod.str(&["spec", "nodeName"]).is_empty() || finished {
        return Some(0);
    }
    let seconds = asked.or_else(|| pod.int(&["spec", "terminationGracePeriodSeconds"])).unwrap_or(0);
    Some(if seconds < 0 { 1 } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn only_scheduled_and_unfinished_pods_get_grace() {
        let running = pod(
            json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}}),
        );
        assert_eq!(grace(&running, None), Some(30));
        assert_eq!(grace(&running, Some(5)), Some(5));
        assert_eq!(grace(&running, Some(0)), Some(0));
        assert_eq!(grace(&running, Some(-1)), Some(1));
        let pending = pod(json!({"spec": {"terminationGracePeriodSeconds": 30}, "status": {"phase": "Pending"}}));
        assert_eq!(grace(&pending, Some(30)), Some(0));
        let done =
            pod(json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Failed"}}));
        assert_eq!(grace(&done, None), Some(0));
    }

    #[test]
    fn a_new_pod_is_pending_whatever_it_says() {
        let mut new =
            pod(json!({"spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Running", "podIP": "1.2.3.4"}}));
        prepare_create(&mut new);
        assert_eq!(new.get(&["status"]), Some(&json!({"phase": "Pending", "qosClass": "BestEffort"})));
    }

    #[test]
    fn a_resize_touches_resources_alone() {
        let old = pod(
            json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "x", "resources": {}}]}}),
        );
        let mut new = pod(json!({"metadata": {"name": "a"}, "spec": {"nodeName": "other",
            "containers": [{"name": "a", "image": "y", "resources": {"limits": {"cpu": "1"}}}]}}));
        prepare_subresource_update(&mut new, &old, "resize");
        assert_eq!(
            new.get(&["spec"]),
            Some(&json!({"containers": [
            {"name": "a", "image": "x", "resources": {"limits": {"cpu": "1"}}}]}))
        );
    }
}
