//! What a client is told about a pod that is accepted.
//!
//! upstream: pkg/api/pod/warnings.go

use std::collections::HashSet;

use machinery::Object;

use crate::check::{At, quantity};

/// Labels that nodes had under older names.
const OLD_NODE_LABELS: [(&str, &str); 4] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
];

pub fn of_pod(pod: &Object) -> Vec<String> {
    of_spec(&At::field(pod, "spec"))
}

/// Warnings about the template at `spec.template` of a workload.
pub fn of_template(object: &Object) -> Vec<String> {
    of_spec(&At::field(object, "spec").child("template").child("spec"))
}

fn of_spec(spec: &At) -> Vec<String> {
    let mut warnings = Vec::new();
    for (label, at) in spec.child("nodeSelector").entries() {
        let old = OLD_NODE_LABELS.iter().find(|(name, _)| *name == label);
        warnings.extend(old.map(|(_, text)| format!("{}: {text}", at.path)));
    }
    for list in ["initContainers", "containers"] {
        for container in spec.child(list).items() {
            warnings.extend(repeated_variables(&container));
            warnings.extend(fractions_of_bytes(&container.child("resources")));
        }
    }
    let grace = spec.child("terminationGracePeriodSeconds");
    if grace.int().is_some_and(|seconds| seconds < 0) {
        warnings.push(format!("{}: must be >= 0; negative values are invalid and will be treated as 1", grace.path));
    }
    warnings
}

fn repeated_variables(container: &At) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut warnings = Vec::new();
    for variable in container.child("env").items() {
        let name = variable.child("name").text();
        if !seen.insert(name) {
            warnings.push(format!(
                "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                variable.path
            ));
        }
    }
    warnings
}

fn fractions_of_bytes(resources: &At) -> Vec<String> {
    let mut warnings = Vec::new();
    for part in ["limits", "requests"] {
        for (name, amount) in resources.child(part).entries() {
            let bytes = matches!(name, "memory" | "ephemeral-storage");
            if bytes && quantity(&amount).is_some_and(|amount| amount.milli_value() % 1000 != 0) {
                let text = crate::columns::scalar(amount.value);
                warnings
                    .push(format!("{}: fractional byte value {text:?} is invalid, must be an integer", amount.path));
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_client_is_told_what_looks_wrong() {
        let pod =
            Object::from_value(json!({"spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}, "containers": [{
            "env": [{"name": "A"}, {"name": "B"}, {"name": "A"}], "resources": {"requests": {"memory": "100m"}}}]}}));
        assert_eq!(
            of_pod(&pod.unwrap()),
            [
                r#"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#,
                r#"spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply"#,
                r#"spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer"#,
            ]
        );
    }
}
