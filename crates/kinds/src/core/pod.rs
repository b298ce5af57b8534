//! Pod.

use crate::def::{KindDef, OtherSubresource, PROXY_VERBS, STREAM_VERBS, Strategy, Subresource, Verb};

pub static POD: KindDef = KindDef {
    kind: "Pod",
    resource: "pods",
    singular: "pod",
    short_names: &["po"],
    categories: &["all"],
    schema: "io.k8s.api.core.v1.Pod",
    subresources: &[
        Subresource::Connect { name: "attach", kind: "PodAttachOptions", verbs: STREAM_VERBS },
        Subresource::Other(OtherSubresource {
            name: "binding",
            group: "",
            version: "",
            kind: "Binding",
            verbs: &[Verb::Create],
        }),
        Subresource::Other(OtherSubresource {
            name: "ephemeralcontainers",
            group: "",
            version: "",
            kind: "Pod",
            verbs: &[Verb::Get, Verb::Patch, Verb::Update],
        }),
        Subresource::Other(OtherSubresource {
            name: "eviction",
            group: "policy",
            version: "v1",
            kind: "Eviction",
            verbs: &[Verb::Create],
        }),
        Subresource::Connect { name: "exec", kind: "PodExecOptions", verbs: STREAM_VERBS },
        Subresource::Connect { name: "log", kind: "Pod", verbs: &["get"] },
        Subresource::Connect { name: "portforward", kind: "PodPortForwardOptions", verbs: STREAM_VERBS },
        Subresource::Connect { name: "proxy", kind: "PodProxyOptions", verbs: PROXY_VERBS },
        Subresource::Other(OtherSubresource {
            name: "resize",
            group: "",
            version: "",
            kind: "Pod",
            verbs: &[Verb::Get, Verb::Patch, Verb::Update],
        }),
        Subresource::Status,
    ],
    strategy: Strategy::WITH_STATUS,
    ..KindDef::PLAIN
};
