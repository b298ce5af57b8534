//! ValidatingAdmissionPolicy and its binding.

use std::collections::BTreeSet;

use machinery::Object;
use serde_json::Value;

use super::policy_validate;
use crate::columns::{AGE, NAME, UNSET, scalar};
use crate::def::Description::Text;
use crate::def::{Column, KindDef, Scope, Strategy, Subresource};
use crate::tree::{Map, child, default, each, list_of, str_of};

pub static VALIDATING_ADMISSION_POLICY: KindDef = KindDef {
    group: "admissionregistration.k8s.io",
    kind: "ValidatingAdmissionPolicy",
    resource: "validatingadmissionpolicies",
    singular: "validatingadmissionpolicy",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::integer(
            "Validations",
            Text("Validations indicates the number of validation rules defined in this configuration"),
            |policy| policy.list(&["spec", "validations"]).len().into(),
        ),
        PARAM_KIND,
        AGE,
    ],
    strategy: Strategy {
        any_finalizers: true,
        default: default_policy,
        validate: policy_validate::validate_policy,
        validate_status_update: policy_validate::validate_policy_status,
        unconditional_update: false,
        kept_by_status: &[&["metadata"]],
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

pub static VALIDATING_ADMISSION_POLICY_BINDING: KindDef = KindDef {
    kind: "ValidatingAdmissionPolicyBinding",
    resource: "validatingadmissionpolicybindings",
    singular: "validatingadmissionpolicybinding",
    schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    subresources: &[],
    columns: BINDING_COLUMNS,
    strategy: Strategy {
        any_finalizers: true,
        default: default_binding,
        validate: policy_validate::validate_binding,
        generation: true,
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..VALIDATING_ADMISSION_POLICY
};

/// Shown of every policy.
pub const PARAM_KIND: Column = Column::string(
    "ParamKind",
    Text("ParamKind specifies the kind of resources used to parameterize this policy"),
    param_kind,
);

/// What is shown of bindings, whatever policies they bind.
pub const BINDING_COLUMNS: &[Column] = &[
    NAME,
    Column::string(
        "PolicyName",
        Text("PolicyName indicates the policy definition which the policy binding binded to"),
        |binding| binding.str(&["spec", "policyName"]).into(),
    ),
    Column::string(
        "ParamRef",
        Text("ParamRef indicates the param resource which sets the configration param"),
        param_ref,
    ),
    AGE,
];

pub fn default_policy(policy: &mut Object) {
    policy.set_default(&["spec", "failurePolicy"], "Fail");
    let matching = child(policy.map_mut(&["spec"]), "matchConstraints");
    matching.into_iter().for_each(default_matching);
}

pub fn default_binding(binding: &mut Object) {
    let matching = child(binding.map_mut(&["spec"]), "matchResources");
    matching.into_iter().for_each(default_matching);
}

fn default_matching(matching: &mut Map) {
    default(matching, "matchPolicy", "Equivalent");
    default(matching, "namespaceSelector", Map::new());
    default(matching, "objectSelector", Map::new());
    for rules in ["resourceRules", "excludeResourceRules"] {
        each(matching, rules, |rule| default(rule, "scope", "*"));
    }
}

fn param_kind(policy: &Object) -> Value {
    let field = |field| policy.str(&["spec", "paramKind", field]);
    match field("kind") {
        "" => UNSET.into(),
        kind => format!("{}/{kind}", field("apiVersion")).into(),
    }
}

fn param_ref(binding: &Object) -> Value {
    let field = |field| binding.str(&["spec", "paramRef", field]);
    match (field("namespace"), field("name")) {
        (_, "") => {
            let selector = binding.get(&["spec", "paramRef", "selector"]).filter(|selector| selector.is_object());
            selector.map_or_else(|| UNSET.to_owned(), printed_selector).into()
        }
        ("", name) => format!("*/{name}").into(),
        (namespace, name) => format!("{namespace}/{name}").into(),
    }
}

/// A `metav1.LabelSelector` as Go prints the structure.
fn printed_selector(selector: &Value) -> String {
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let labels: BTreeSet<String> = labels.map(|(key, value)| format!("{key}: {},", scalar(value))).collect();
    let requirement = |requirement: &Value| {
        let values: Vec<&str> = list_of(requirement, "values").iter().filter_map(Value::as_str).collect();
        let [key, operator] = ["key", "operator"].map(|field| str_of(requirement, field));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let requirements: String = list_of(selector, "matchExpressions").iter().map(requirement).collect();
    let labels: String = labels.into_iter().collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )
}
