//! Nodes: their address ranges, their health, and the pods that must leave them.

pub mod affinity;
mod decide;
mod eviction;
mod ipam;
mod lifecycle;
#[cfg(test)]
mod tests;

pub use eviction::TaintEviction;
pub use ipam::{Cidr, NodeIpam};
pub use lifecycle::NodeLifecycle;

use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

pub fn condition<'a>(node: &'a Node, type_: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

pub fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

pub fn has_taint(node: &Node, key: &str) -> bool {
    taints(node).iter().any(|taint| taint.key == key)
}
