//! Pods carry where their node is: the labels of its zone and region.

use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::json;

use crate::Admit;

const LABELS: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

/// On bindings, from which pods take labels over, and on pods that are made for a node. What is there stays.
pub fn mutate(admit: &Admit<'_>, object: &mut Object) -> Result<(), ApiError> {
    let creates = admit.request.operation == Operation::Create;
    let node = match () {
        () if !creates => return Ok(()),
        () if admit.is(Resource::PODS, "") => object.str(&["spec", "nodeName"]),
        () if admit.is(Resource::PODS, "binding") && object.str(&["target", "kind"]) == "Node" => {
            object.str(&["target", "name"])
        }
        () => return Ok(()),
    };
    let Some(node) =
        Some(node).filter(|name| !name.is_empty()).and_then(|name| admit.view.get(Resource::NODES, "", name))
    else {
        return Ok(());
    };
    for label in LABELS {
        if let Some(value) = node.labels().get(label) {
            object.map_mut(&["metadata", "labels"]).entry(label).or_insert_with(|| json!(value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    #[test]
    fn pods_and_bindings_get_the_labels_of_their_node() {
        let cluster = r#"
            nodes n1 metadata.labels={"topology.kubernetes.io/zone":"a","topology.kubernetes.io/region":"r","other":"x"}
            nodes bare
        "#;
        for (resource, body, expected) in [
            (
                "pods/binding",
                r#"{"target":{"kind":"Node","name":"n1"}}"#,
                json!({"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "a"}),
            ),
            ("pods/binding", r#"{"target":{"kind":"Node","name":"bare"}}"#, json!(null)),
            ("pods/binding", r#"{"target":{"kind":"Node","name":"gone"}}"#, json!(null)),
            ("pods/binding", r#"{"target":{"name":"n1"}}"#, json!(null)),
            (
                "pods",
                r#"{"spec":{"nodeName":"n1"},"metadata":{"labels":{"topology.kubernetes.io/zone":"own"}}}"#,
                json!({"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "own"}),
            ),
            ("pods", r#"{"spec":{}}"#, json!(null)),
        ] {
            let made = Case::create(resource, "dev").cluster(cluster).mutate(mutate, object(body)).unwrap();
            let labels = made.get(&["metadata", "labels"]).cloned().unwrap_or_default();
            assert_eq!(labels, expected, "{resource} {body}");
        }
    }
}
