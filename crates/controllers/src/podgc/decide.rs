//! Which pods have nobody left to end them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// The pod is not bound.
    None,
    Present,
    /// An administrator declared it dead, and it is not ready.
    OutOfService,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodFacts {
    pub terminating: bool,
    pub finished: bool,
    pub node: NodeState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    NodeGone,
    NodeOutOfService,
    NeverScheduled,
}

pub fn decide(pod: &PodFacts) -> Option<Cause> {
    match (pod.node, pod.terminating) {
        (NodeState::Gone, _) => Some(Cause::NodeGone),
        (NodeState::OutOfService, true) => Some(Cause::NodeOutOfService),
        (NodeState::None, true) => Some(Cause::NeverScheduled),
        _ => None,
    }
}
