//! What a client is told about a pod that is accepted.
//!
//! upstream: pkg/api/pod/warnings.go

use std::collections::HashSet;

use machinery::Object;

use super::CONTAINER_LISTS;
use super::port_warnings::of_ports;
use super::validate::annotations::{APP_ARMOR, SECCOMP_OF_CONTAINER, SECCOMP_OF_POD};
use crate::check::{At, quantity, shown_quantity};

/// Labels that nodes had under older names.
const OLD_NODE_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
];
const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];
/// Sources of volumes that nothing serves any more.
pub const OLD_VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";
const OLD_SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const OLD_APP_ARMOR: &str = "deprecated since v1.30; use the \"appArmorProfile\" field instead";

pub fn of_pod(pod: &Object) -> Vec<String> {
    of_parts(&At::field(pod, "metadata"), &At::field(pod, "spec"), false)
}

/// Warnings about the template at `spec.template` of a workload.
pub fn of_template(object: &Object) -> Vec<String> {
    of_template_at(&At::field(object, "spec").child("template"))
}

/// Warnings about the template at `template`.
pub fn of_template_at(template: &At) -> Vec<String> {
    of_parts(&template.child("metadata"), &template.child("spec"), true)
}

fn of_parts(metadata: &At, spec: &At, is_template: bool) -> Vec<String> {
    let annotations = metadata.child("annotations");
    let mut warnings = of_placement(spec);
    let old = OLD_ANNOTATIONS.iter().filter(|(key, _)| annotations.child(key).is_set());
    warnings.extend(old.map(|(key, text)| format!("{}: {text}", annotations.path.key(key))));
    warnings.extend(of_volumes(spec));
    warnings.extend(repeated(&spec.child("hostAliases"), "ip"));
    warnings.extend(repeated(&spec.child("imagePullSecrets"), "name"));
    let secrets = spec.child("imagePullSecrets").items();
    let nameless = secrets.iter().map(|secret| secret.child("name")).filter(At::is_empty);
    warnings.extend(nameless.map(|name| format!("{}: invalid empty name \"\"", name.path)));
    warnings.extend(fractions_of_bytes(&spec.child("overhead")));
    let security = spec.child("securityContext");
    if annotations.child(SECCOMP_OF_POD).is_set() && !security.child("seccompProfile").is_set() {
        warnings.push(format!("{}: {OLD_SECCOMP}", annotations.path.key(SECCOMP_OF_POD)));
    }
    for container in CONTAINER_LISTS.iter().flat_map(|list| spec.child(list).items()) {
        warnings.extend(of_profiles(&container, &annotations, &security, is_template));
        for part in ["limits", "requests"] {
            warnings.extend(fractions_of_bytes(&container.child("resources").child(part)));
        }
        warnings.extend(hidden_variables(&container));
    }
    warnings.extend(of_ports(spec));
    let grace = spec.child("terminationGracePeriodSeconds");
    if grace.int().is_some_and(|seconds| seconds < 0) {
        warnings.push(format!("{}: must be >= 0; negative values are invalid and will be treated as 1", grace.path));
    }
    warnings.extend(of_pod_terms(&spec.child("affinity")));
    warnings
}

fn old_label(label: &str) -> Option<&'static str> {
    OLD_NODE_LABELS.iter().find(|(name, _)| *name == label).map(|(_, text)| *text)
}

fn of_placement(spec: &At) -> Vec<String> {
    let mut warnings = Vec::new();
    for (label, at) in spec.child("nodeSelector").entries() {
        warnings.extend(old_label(label).map(|text| format!("{}: {text}", at.path)));
    }
    let affinity = spec.child("affinity").child("nodeAffinity");
    let required = affinity.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms").items();
    let preferred = affinity.child("preferredDuringSchedulingIgnoredDuringExecution").items();
    let terms = required.into_iter().chain(preferred.iter().map(|preferred| preferred.child("preference")));
    warnings.extend(terms.flat_map(|term| of_node_term(&term)));
    for constraint in spec.child("topologySpreadConstraints").items() {
        let (key, selector) = (constraint.child("topologyKey"), constraint.child("labelSelector"));
        warnings.extend(old_label(key.text()).map(|text| format!("{}: {} is {text}", key.path, key.text())));
        warnings.extend((!selector.is_set()).then(|| format!("{}: {NULL_SELECTOR}", selector.path)));
    }
    warnings
}

/// Warnings about a term that selects nodes.
pub fn of_node_term(term: &At) -> Vec<String> {
    let keys = term.child("matchExpressions").items().into_iter().map(|expression| expression.child("key"));
    keys.filter_map(|key| old_label(key.text()).map(|text| format!("{}: {} is {text}", key.path, key.text()))).collect()
}

fn of_volumes(spec: &At) -> Vec<String> {
    let volumes = spec.child("volumes").items();
    let old = volumes.iter().flat_map(|volume| OLD_VOLUMES.map(|(source, text)| (volume.child(source), text)));
    let mut warnings: Vec<String> =
        old.filter(|(source, _)| source.is_set()).map(|(source, text)| format!("{}: {text}", source.path)).collect();
    let sources: Vec<At> =
        volumes.iter().flat_map(|volume| volume.child("projected").child("sources").items()).collect();
    let tokens: HashSet<&str> =
        sources.iter().map(|source| source.child("serviceAccountToken").child("path").text()).collect();
    for source in &sources {
        for kind in ["configMap", "secret", "downwardAPI"] {
            let files = source.child(kind).child("items").items();
            let hidden = files
                .iter()
                .map(|file| file.child("path"))
                .filter(|path| !path.is_empty() && tokens.contains(path.text()));
            warnings.extend(
                hidden.map(|path| {
                    format!("{}: has duplicated path with ServiceAccountToken {:?}", path.path, path.text())
                }),
            );
        }
    }
    warnings
}

/// Elements of a list with the same `field`.
fn repeated(list: &At, field: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let values = list.items().into_iter().map(|item| item.child(field));
    let again = values.filter(|value| !seen.insert(value.text()));
    again.map(|value| format!("{}: duplicate {field} {:?}", value.path, value.text())).collect()
}

/// Profiles in annotations that no field repeats.
fn of_profiles(container: &At, annotations: &At, pod: &At, is_template: bool) -> Vec<String> {
    let (name, own) = (container.child("name").text(), container.child("securityContext"));
    let mut warnings = Vec::new();
    let seccomp = format!("{SECCOMP_OF_CONTAINER}{name}");
    if annotations.child(&seccomp).is_set() && !own.child("seccompProfile").is_set() {
        warnings.push(format!("{}: {OLD_SECCOMP}", annotations.path.key(&seccomp)));
    }
    let app_armor = format!("{APP_ARMOR}{name}");
    let has_field = pod.child("appArmorProfile").is_set() || own.child("appArmorProfile").is_set();
    if is_template && !has_field && annotations.child(&app_armor).is_set() {
        warnings.push(format!("{}: {OLD_APP_ARMOR}", annotations.path.key(&app_armor)));
    }
    warnings
}

/// A variable that is set again, unless to something that holds what it was.
fn hidden_variables(container: &At) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut warnings = Vec::new();
    for variable in container.child("env").items() {
        let (name, value) = (variable.child("name").text(), variable.child("value").text());
        let reference = format!("$({name})");
        let extends = !variable.child("valueFrom").is_set() && value != reference && value.contains(&reference);
        if !seen.insert(name) && !extends {
            warnings.push(format!(
                "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                variable.path
            ));
        }
    }
    warnings
}

fn fractions_of_bytes(amounts: &At) -> Vec<String> {
    let bytes = ["memory", "ephemeral-storage"].map(|name| (name, amounts.child(name)));
    let fractions =
        bytes.iter().filter(|(_, amount)| quantity(amount).is_some_and(|amount| amount.milli_value() % 1000 != 0));
    fractions
        .map(|(name, amount)| {
            let text = shown_quantity(amount);
            format!("{}: fractional byte value {text:?} is invalid, must be an integer", amounts.path.key(name))
        })
        .collect()
}

fn of_pod_terms(affinity: &At) -> Vec<String> {
    let mut terms = Vec::new();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.child(kind);
        terms.extend(pods.child("requiredDuringSchedulingIgnoredDuringExecution").items());
        let preferred = pods.child("preferredDuringSchedulingIgnoredDuringExecution").items();
        terms.extend(preferred.iter().map(|preferred| preferred.child("podAffinityTerm")));
    }
    let selectors = terms.iter().map(|term| term.child("labelSelector")).filter(|selector| !selector.is_set());
    selectors.map(|selector| format!("{}: {NULL_SELECTOR}", selector.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_client_is_told_what_looks_wrong() {
        let pod = Object::from_value(json!({
            "metadata": {"annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}},
            "spec": {
                "nodeSelector": {"beta.kubernetes.io/os": "linux"},
                "hostAliases": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}],
                "imagePullSecrets": [{}],
                "volumes": [{"name": "a", "gitRepo": {"repository": "r"}}],
                "topologySpreadConstraints": [{"topologyKey": "zone"}],
                "containers": [{
                    "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A"}],
                    "resources": {"requests": {"memory": "100m"}},
                }],
            },
        }));
        assert_eq!(
            of_pod(&pod.unwrap()),
            [
                r#"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#,
                "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
                r#"metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead"#,
                "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
                r#"spec.hostAliases[1].ip: duplicate ip "10.0.0.1""#,
                r#"spec.imagePullSecrets[0].name: invalid empty name """#,
                r#"spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer"#,
                r#"spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply"#,
            ]
        );
    }
}
