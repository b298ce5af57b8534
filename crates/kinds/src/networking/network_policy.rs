//! NetworkPolicy.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{in_range, validate_label_selector};
use serde_json::json;

use crate::check::{At, cidr_warning, is_cidr, is_strict_subset, one_of, port_or_name};
use crate::columns::{AGE, NAME, NONE, format_selector};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Strategy};
use crate::tree::{child_or_new, default_text, each};

pub static NETWORK_POLICY: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    resource: "networkpolicies",
    singular: "networkpolicy",
    short_names: &["netpol"],
    schema: "io.k8s.api.networking.v1.NetworkPolicy",
    columns: &[
        NAME,
        Column::string("Pod-Selector", Field("spec.podSelector"), |policy| {
            policy.get(&["spec", "podSelector"]).map_or_else(|| NONE.to_owned(), format_selector).into()
        }),
        AGE,
    ],
    strategy: Strategy { default: default_policy, validate, warnings, generation: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn default_policy(policy: &mut Object) {
    let spec = child_or_new(&mut policy.0, "spec");
    for direction in ["ingress", "egress"] {
        each(spec, direction, |rule| each(rule, "ports", |port| default_text(port, "protocol", "TCP")));
    }
    child_or_new(spec, "podSelector");
    if policy.list(&["spec", "policyTypes"]).is_empty() {
        let egress = !policy.list(&["spec", "egress"]).is_empty();
        let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        policy.set(&["spec", "policyTypes"], types);
    }
}

fn validate(policy: &Object) -> ErrorList {
    let spec = At::field(policy, "spec");
    let selector = spec.child("podSelector");
    let mut errors = validate_label_selector(selector.value, &selector.path);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.child(direction).items() {
            errors.extend(rule.child("ports").items().iter().flat_map(validate_port));
            errors.extend(rule.child(peers).items().iter().flat_map(validate_peer));
        }
    }
    let types = spec.child("policyTypes");
    if types.items().len() > 2 {
        errors.push(types.invalid("may not specify more than two policyTypes"));
    } else {
        errors.extend(types.items().iter().filter_map(|of_type| one_of(of_type, &["Ingress", "Egress"])));
    }
    errors
}

fn warnings(policy: &Object) -> Vec<String> {
    let spec = At::field(policy, "spec");
    let directions = [("ingress", "from"), ("egress", "to")].into_iter();
    let rules = directions.flat_map(|(direction, peers)| {
        spec.child(direction).items().into_iter().flat_map(move |rule| rule.child(peers).items())
    });
    let ranges = rules.map(|peer| peer.child("ipBlock")).flat_map(|block| {
        let except = block.child("except").items();
        std::iter::once(block.child("cidr")).chain(except).collect::<Vec<_>>()
    });
    ranges.filter_map(|range| cidr_warning(&range)).collect()
}

fn validate_port(port: &At) -> ErrorList {
    let [protocol, number, end] = ["protocol", "port", "endPort"].map(|field| port.child(field));
    let mut errors: ErrorList = one_of(&protocol, &["TCP", "UDP", "SCTP"]).into_iter().collect();
    if number.is_set() {
        errors.extend(port_or_name(&number));
    }
    match (end.int(), number.int()) {
        (Some(_), None) if number.is_set() => {
            errors.push(end.invalid("may not be specified when `port` is non-numeric"));
        }
        (Some(_), None) => errors.push(end.invalid("may not be specified when `port` is not specified")),
        (Some(last), Some(first)) => {
            let text = "must be greater than or equal to `port`";
            errors.extend((last < first).then(|| end.invalid(text)));
            errors.extend(end.messages(in_range(last, 1, 65_535)));
        }
        (None, _) => {}
    }
    errors
}

fn validate_peer(peer: &At) -> ErrorList {
    let block = peer.child("ipBlock");
    let selectors = peer.set_children(&["podSelector", "namespaceSelector"]);
    let mut errors: ErrorList =
        selectors.iter().flat_map(|selector| validate_label_selector(selector.value, &selector.path)).collect();
    if block.is_set() {
        errors.extend(validate_block(&block));
    }
    match (block.is_set(), selectors.is_empty()) {
        (false, true) => errors.push(peer.required("must specify a peer")),
        (true, false) => errors.push(peer.forbidden("may not specify both ipBlock and another peer")),
        _ => {}
    }
    errors
}

fn validate_block(block: &At) -> ErrorList {
    let text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let cidr = block.child("cidr");
    if cidr.is_empty() {
        return vec![cidr.required("")];
    }
    if !is_cidr(cidr.text()) {
        return vec![cidr.invalid(text)];
    }
    let mut errors = ErrorList::new();
    for except in block.child("except").items() {
        if !is_cidr(except.text()) {
            errors.push(except.invalid(text));
        } else if !is_strict_subset(except.text(), cidr.text()) {
            errors.push(except.invalid("must be a strict subset of `cidr`"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_types_follow_the_rules() {
        let types = |spec| {
            let mut policy = Object::from_value(json!({"spec": spec})).unwrap();
            default_policy(&mut policy);
            policy.get(&["spec", "policyTypes"]).cloned().unwrap()
        };
        assert_eq!(types(json!({})), json!(["Ingress"]));
        assert_eq!(types(json!({"egress": [{}]})), json!(["Ingress", "Egress"]));
        assert_eq!(types(json!({"policyTypes": ["Egress"]})), json!(["Egress"]));
    }
}
