//! ValidatingAdmissionPolicy and its binding.

use machinery::Object;
use serde_json::Value;

use super::policy_validate;
use crate::columns::{AGE, NAME, UNSET};
use crate::def::{Column, KindDef, Scope, Strategy, Subresource};
use crate::tree::{Map, child, default, each};

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
        Column::integer("Validations", "Number of rules", |policy| policy.list(&["spec", "validations"]).len().into()),
        Column::string("ParamKind", "Kind of its parameters", param_kind),
        AGE,
    ],
    strategy: Strategy {
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
    columns: &[
        NAME,
        Column::string("PolicyName", "Policy it binds", |binding| binding.str(&["spec", "policyName"]).into()),
        Column::string("ParamRef", "Parameters it binds the policy to", param_ref),
        AGE,
    ],
    strategy: Strategy {
        default: |binding| {
            let matching = child(binding.map_mut(&["spec"]), "matchResources");
            matching.into_iter().for_each(default_matching);
        },
        validate: policy_validate::validate_binding,
        generation: true,
        unconditional_update: false,
        ..Strategy::PLAIN
    },
    ..VALIDATING_ADMISSION_POLICY
};

fn default_policy(policy: &mut Object) {
    policy.set_default(&["spec", "failurePolicy"], "Fail");
    let matching = child(policy.map_mut(&["spec"]), "matchConstraints");
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
        ("", "") if binding.get(&["spec", "paramRef"]).is_none() => UNSET.into(),
        ("", "") => "*".into(),
        ("", name) => name.into(),
        (namespace, name) => format!("{namespace}/{name}").into(),
    }
}
