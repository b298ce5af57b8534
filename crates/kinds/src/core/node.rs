//! Node.

use std::collections::HashSet;

use machinery::Object;
use machinery::field::{ErrorList, Path};
use serde_json::Value;

use super::pod::validate::validate_taints;
use super::resource_names::validate_amount;
use crate::check::{At, cidr_warning, is_cidr, same};
use crate::columns::{AGE, NAME, NONE, non_empty};
use crate::def::Description::{Field, Text};
use crate::def::{Column, KindDef, PROXY_VERBS, Scope, SelectableField, Strategy, Subresource};
use crate::tree::{condition, str_of};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE_LABEL: &str = "kubernetes.io/role";
const UNKNOWN: &str = "<unknown>";

pub static NODE: KindDef = KindDef {
    kind: "Node",
    resource: "nodes",
    singular: "node",
    short_names: &["no"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.core.v1.Node",
    subresources: &[
        Subresource::Connect { name: "proxy", kind: "NodeProxyOptions", verbs: PROXY_VERBS },
        Subresource::Status,
    ],
    selectable_fields: &[SelectableField {
        name: "spec.unschedulable",
        value: |node| node.bool(&["spec", "unschedulable"]).to_string(),
    }],
    columns: &[
        NAME,
        Column::string("Status", Text("The status of the node"), |node| status(node).into()),
        Column::string("Roles", Text("The roles of the node"), |node| roles(node).into()),
        AGE,
        Column::string("Version", Field("status.nodeInfo.kubeletVersion"), |node| {
            node.str(&["status", "nodeInfo", "kubeletVersion"]).into()
        }),
        Column::string("Internal-IP", Field("status.addresses"), |node| address(node, "InternalIP")).wide(),
        Column::string("External-IP", Field("status.addresses"), |node| address(node, "ExternalIP")).wide(),
        Column::string("OS-Image", Field("status.nodeInfo.osImage"), |node| info(node, "osImage")).wide(),
        Column::string("Kernel-Version", Field("status.nodeInfo.kernelVersion"), |node| info(node, "kernelVersion"))
            .wide(),
        Column::string("Container-Runtime", Field("status.nodeInfo.containerRuntimeVersion"), |node| {
            info(node, "containerRuntimeVersion")
        })
        .wide(),
    ],
    // A node registers itself with its status, so creation keeps it.
    strategy: Strategy {
        default: default_node,
        prepare_create: |_| {},
        generation: false,
        validate,
        validate_update,
        validate_status_update,
        warnings,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn default_node(node: &mut Object) {
    if let Some(capacity) = node.map(&["status", "capacity"]).cloned() {
        node.set_default(&["status", "allocatable"], capacity);
    }
}

/// upstream: pkg/api/node/warnings.go
fn warnings(node: &Object) -> Vec<String> {
    let spec = At::field(node, "spec");
    let deprecated = [
        ("configSource", "the spec.configSource field is deprecated and will not be used"),
        ("externalID", "this field is deprecated, and is unused by Kubernetes"),
    ];
    let deprecated = deprecated.iter().filter(|(field, _)| !spec.child(field).is_empty());
    let ranges = spec.child("podCIDRs").items();
    let mut warnings: Vec<String> = deprecated.map(|(field, text)| format!("spec.{field}: {text}")).collect();
    warnings.extend(ranges.iter().filter_map(cidr_warning));
    warnings
}

fn validate(node: &Object) -> ErrorList {
    let spec = At::field(node, "spec");
    // Upstream names taints so.
    let mut errors = validate_taints(&spec.child("taints").at(Path::new("metadata").child("taints")));
    errors.extend(validate_resources(node));
    let text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let ranges = spec.child("podCIDRs");
    let items = ranges.items();
    errors.extend(items.iter().filter(|range| !is_cidr(range.text())).map(|range| range.invalid(text)));
    let sixes = items.iter().filter(|range| range.text().contains(':')).count();
    if items.len() > 2 || (items.len() == 2 && sixes != 1) {
        errors.push(ranges.invalid("may specify no more than one CIDR for each IP family"));
    }
    let mut seen = HashSet::new();
    errors.extend(items.iter().filter(|range| !seen.insert(range.text())).map(At::duplicate));
    errors
}

fn validate_resources(node: &Object) -> ErrorList {
    let status = At::field(node, "status");
    let lists = ["capacity", "allocatable"].map(|field| status.child(field));
    let at = |list: &At, name: &str, amount: At| validate_amount(name, &amount.at(list.path.child(name)));
    lists.iter().flat_map(|list| list.entries().into_iter().flat_map(|(name, amount)| at(list, name, amount))).collect()
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let changed = |field: &str| !was.child(field).is_empty() && !same(spec.child(field).value, was.child(field).value);
    let mut errors = validate_status_update(new, old);
    for field in ["podCIDR", "providerID"] {
        let at = spec.child(if field == "podCIDR" { "podCIDRs" } else { field });
        if changed(field) || changed(&at.name()) {
            errors.push(at.forbidden(format!("node updates may not change {field} except from \"\" to valid")));
        }
    }
    if spec.child("externalID").text() != was.child("externalID").text() {
        errors.push(spec.child("externalID").forbidden("may not be updated"));
    }
    errors
}

fn validate_status_update(new: &Object, _: &Object) -> ErrorList {
    let mut errors = validate_resources(new);
    let mut seen = HashSet::new();
    let addresses = At::field(new, "status").child("addresses").items();
    for address in &addresses {
        let first = seen.insert((address.child("type").text(), address.child("address").text()));
        errors.extend((!first).then(|| address.duplicate()));
    }
    errors
}

fn status(node: &Object) -> String {
    let ready = match condition(node, "Ready").map(|condition| str_of(condition, "status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    match node.bool(&["spec", "unschedulable"]) {
        true => format!("{ready},SchedulingDisabled"),
        false => ready.to_owned(),
    }
}

fn roles(node: &Object) -> String {
    let labels = node.labels();
    let mut roles: Vec<&str> = labels
        .iter()
        .filter_map(|(label, value)| match label.strip_prefix(ROLE_PREFIX) {
            Some(role) => Some(role),
            None => (label == ROLE_LABEL).then_some(value.as_str()),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    non_empty(&roles.join(","), NONE).to_owned()
}

fn address(node: &Object, of_type: &str) -> Value {
    let addresses = node.list(&["status", "addresses"]);
    let found = addresses.iter().find(|address| str_of(address, "type") == of_type);
    found.map_or(NONE, |address| str_of(address, "address")).into()
}

fn info(node: &Object, field: &str) -> Value {
    non_empty(node.str(&["status", "nodeInfo", field]), UNKNOWN).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn status_and_roles_read_as_upstream_prints_them() {
        let node = Object::from_value(json!({
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "control-plane"}},
            "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        assert_eq!(
            (status(&node).as_str(), roles(&node).as_str()),
            ("Ready,SchedulingDisabled", "control-plane,worker")
        );
        let new = Object::default();
        assert_eq!((status(&new).as_str(), roles(&new).as_str()), ("Unknown", "<none>"));
    }
}
