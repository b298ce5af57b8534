//! Reading and changing pods: containers of all kinds, mirror pods.

use machinery::Object;
use serde_json::Value;

pub const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// Lists of containers in a pod's spec.
pub const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub fn is_mirror(pod: &Object) -> bool {
    pod.annotation(MIRROR_POD).is_some()
}

/// The containers of the given lists, each with what upstream's messages call it.
pub fn container_lists<'a>(pod: &'a Object, lists: &'a [&str]) -> impl Iterator<Item = (&'static str, &'a Value)> {
    lists.iter().flat_map(|list| {
        let what = match *list {
            "initContainers" => "init container",
            "ephemeralContainers" => "ephemeral container",
            _ => "container",
        };
        pod.list(&["spec", list]).iter().map(move |container| (what, container))
    })
}

/// Calls `change` for each container of the given lists.
pub fn for_each_container(pod: &mut Object, lists: &[&str], mut change: impl FnMut(&mut Value)) {
    let Some(spec) = pod.0.get_mut("spec") else { return };
    for list in lists {
        let containers = spec.get_mut(*list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(&mut change);
    }
}
