//! NodePorts: two pods can not have one port of a node.

use super::Filtered;
use crate::nodes::NodeInfo;
use crate::pods::PodInfo;

pub fn filter(pod: &PodInfo, node: &NodeInfo) -> Filtered {
    let mut taken = node.pods.iter().flat_map(|pod| &pod.host_ports);
    if !pod.host_ports.is_empty() && taken.any(|taken| pod.host_ports.iter().any(|port| port.conflicts(taken))) {
        return Filtered::fails("NodePorts", "node(s) didn't have free ports for the requested pod ports");
    }
    Filtered::Fits
}
