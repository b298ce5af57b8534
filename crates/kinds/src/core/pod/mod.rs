//! Pod. Its defaults and its validation serve pod templates too.

mod columns;
pub mod defaults;
mod port_warnings;
mod qos;
mod strategy;
pub mod validate;
pub mod warnings;

pub use qos::qos_class;

use machinery::Object;
use machinery::field::ErrorList;

use crate::def::{KindDef, OtherSubresource, PROXY_VERBS, STREAM_VERBS, SelectableField, Strategy, Subresource, Verb};

const OBJECT_VERBS: &[Verb] = &[Verb::Get, Verb::Patch, Verb::Update];
/// Where the containers of a pod are.
const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub static POD: KindDef = KindDef {
    kind: "Pod",
    resource: "pods",
    singular: "pod",
    short_names: &["po"],
    categories: &["all"],
    schema: "io.k8s.api.core.v1.Pod",
    subresources: &[
        stream("attach", "PodAttachOptions"),
        other("binding", "", "", "Binding", &[Verb::Create]),
        other("ephemeralcontainers", "", "", "Pod", OBJECT_VERBS),
        other("eviction", "policy", "v1", "Eviction", &[Verb::Create]),
        stream("exec", "PodExecOptions"),
        Subresource::Connect { name: "log", kind: "Pod", verbs: &["get"] },
        stream("portforward", "PodPortForwardOptions"),
        Subresource::Connect { name: "proxy", kind: "PodProxyOptions", verbs: PROXY_VERBS },
        other("resize", "", "", "Pod", OBJECT_VERBS),
        Subresource::Status,
    ],
    selectable_fields: &[
        field("spec.nodeName", |pod| pod.str(&["spec", "nodeName"]).to_owned()),
        field("spec.restartPolicy", |pod| pod.str(&["spec", "restartPolicy"]).to_owned()),
        field("spec.schedulerName", |pod| pod.str(&["spec", "schedulerName"]).to_owned()),
        field("spec.serviceAccountName", |pod| pod.str(&["spec", "serviceAccountName"]).to_owned()),
        field("spec.hostNetwork", |pod| pod.bool(&["spec", "hostNetwork"]).to_string()),
        field("status.phase", |pod| pod.str(&["status", "phase"]).to_owned()),
        field("status.podIP", pod_ip),
        field("status.nominatedNodeName", |pod| pod.str(&["status", "nominatedNodeName"]).to_owned()),
    ],
    columns: columns::COLUMNS,
    completed: columns::completed,
    strategy: Strategy {
        default: defaults::default_pod,
        prepare_create: strategy::prepare_create,
        prepare_update: strategy::prepare_update,
        prepare_status_update: strategy::prepare_status_update,
        prepare_subresource_update: strategy::prepare_subresource_update,
        validate: validate::validate,
        validate_create: validate::validate_create,
        validate_update: validate::validate_update,
        validate_status_update: validate::validate_status_update,
        validate_subresource_update,
        warnings: warnings::of_pod,
        grace: strategy::grace,
        returns_deleted: true,
        kept_by_status: &[&["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]],
        reset: strategy::reset,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

const fn stream(name: &'static str, kind: &'static str) -> Subresource {
    Subresource::Connect { name, kind, verbs: STREAM_VERBS }
}

const fn other(
    name: &'static str,
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    verbs: &'static [Verb],
) -> Subresource {
    Subresource::Other(OtherSubresource { name, group, version, kind, verbs })
}

const fn field(name: &'static str, value: fn(&Object) -> String) -> SelectableField {
    SelectableField { name, value }
}

fn validate_subresource_update(new: &Object, old: &Object, subresource: &str) -> ErrorList {
    match subresource {
        "ephemeralcontainers" => validate::validate_ephemeral_update(new, old),
        "resize" => validate::validate_resize(new, old),
        _ => ErrorList::new(),
    }
}

/// The first of `status.podIPs`; `status.podIP` when there is no list.
pub(crate) fn pod_ip(pod: &Object) -> String {
    let first = pod.list(&["status", "podIPs"]).first().and_then(|ip| ip.get("ip")?.as_str());
    first.unwrap_or_else(|| pod.str(&["status", "podIP"])).to_owned()
}
