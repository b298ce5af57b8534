use super::decide::{Cause, NodeState, PodFacts, decide};

#[test]
fn only_pods_without_a_living_node_are_removed() {
    let table = [
        (NodeState::Gone, false, Some(Cause::NodeGone)),
        (NodeState::Gone, true, Some(Cause::NodeGone)),
        (NodeState::OutOfService, true, Some(Cause::NodeOutOfService)),
        (NodeState::OutOfService, false, None),
        (NodeState::None, true, Some(Cause::NeverScheduled)),
        (NodeState::None, false, None),
        (NodeState::Present, true, None),
        (NodeState::Present, false, None),
    ];
    for (node, terminating, expected) in table {
        assert_eq!(decide(&PodFacts { terminating, finished: false, node }), expected, "{node:?} {terminating}");
    }
}
