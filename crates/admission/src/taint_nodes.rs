//! A new node takes no pods until it is known to be ready.

use auth::view::Resource;
use machinery::{ApiError, Object};
use serde_json::json;

use crate::Admit;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub fn mutate(admit: &Admit<'_>, node: &mut Object) -> Result<(), ApiError> {
    if !admit.creates(Resource::NODES) {
        return Ok(());
    }
    let mut taints = node.list(&["spec", "taints"]).to_vec();
    if !taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule") {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        node.set(&["spec", "taints"], taints);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    #[test]
    fn a_node_starts_with_the_taint() {
        let admitted = |node| Case::create("nodes", "").mutate(mutate, node).unwrap();
        let once = admitted(object("{}"));
        assert_eq!(once.list(&["spec", "taints"]), [json!({"key": NOT_READY, "effect": "NoSchedule"})]);
        assert_eq!(admitted(once.clone()), once);
    }
}
