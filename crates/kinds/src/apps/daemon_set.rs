//! DaemonSet.

use crate::def::{KindDef, Strategy, Subresource};

pub static DAEMON_SET: KindDef = KindDef {
    group: "apps",
    kind: "DaemonSet",
    resource: "daemonsets",
    singular: "daemonset",
    short_names: &["ds"],
    categories: &["all"],
    schema: "io.k8s.api.apps.v1.DaemonSet",
    subresources: &[Subresource::Status],
    strategy: Strategy::WITH_STATUS,
    ..KindDef::PLAIN
};
