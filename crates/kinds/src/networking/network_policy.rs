//! NetworkPolicy.

use machinery::Object;
use serde_json::json;

use crate::columns::{AGE, NAME, NONE, format_selector};
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
        Column::string("Pod-Selector", "Labels that select its pods", |policy| {
            policy.get(&["spec", "podSelector"]).map_or_else(|| NONE.to_owned(), format_selector).into()
        }),
        AGE,
    ],
    strategy: Strategy { default: default_policy, generation: true, ..Strategy::PLAIN },
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
