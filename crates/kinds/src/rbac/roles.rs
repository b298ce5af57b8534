//! Role and ClusterRole.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{path_segment_name, validate_label_selector};
use serde_json::Value;

use super::GROUP;
use crate::check::At;
use crate::def::{KindDef, Scope, Strategy};

pub static ROLE: KindDef = KindDef {
    group: GROUP,
    kind: "Role",
    resource: "roles",
    singular: "role",
    schema: "io.k8s.api.rbac.v1.Role",
    strategy: Strategy {
        default: default_rules,
        validate: |role| validate_rules(role, true),
        validate_name: path_segment_name,
        create_on_update: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

pub static CLUSTER_ROLE: KindDef = KindDef {
    kind: "ClusterRole",
    resource: "clusterroles",
    singular: "clusterrole",
    scope: Scope::Cluster,
    schema: "io.k8s.api.rbac.v1.ClusterRole",
    strategy: Strategy { validate: validate_cluster_role, ..ROLE.strategy },
    ..ROLE
};

/// Upstream's encoding shows `rules: null` where there are none.
fn default_rules(role: &mut Object) {
    role.0.entry("rules").or_insert(Value::Null);
}

fn validate_cluster_role(role: &Object) -> ErrorList {
    let mut errors = validate_rules(role, false);
    let aggregation = At::field(role, "aggregationRule");
    let selectors = aggregation.child("clusterRoleSelectors");
    if aggregation.is_set() && selectors.is_empty() {
        errors.push(selectors.required("at least one clusterRoleSelector required if aggregationRule is non-nil"));
    }
    for selector in selectors.items() {
        errors.extend(validate_label_selector(selector.value, &selector.path));
    }
    errors
}

fn validate_rules(role: &Object, namespaced: bool) -> ErrorList {
    At::field(role, "rules").items().iter().flat_map(|rule| validate_rule(rule, namespaced)).collect()
}

/// upstream: ValidatePolicyRule
fn validate_rule(rule: &At, namespaced: bool) -> ErrorList {
    let [verbs, urls, groups, resources, names] =
        ["verbs", "nonResourceURLs", "apiGroups", "resources", "resourceNames"].map(|field| rule.child(field));
    let mut errors = ErrorList::new();
    if verbs.is_empty() {
        errors.push(verbs.required("verbs must contain at least one value"));
    }
    if !urls.is_empty() {
        if namespaced {
            errors.push(urls.invalid("namespaced rules cannot apply to non-resource URLs"));
        }
        if !groups.is_empty() || !resources.is_empty() || !names.is_empty() {
            errors.push(urls.invalid("rules cannot apply to both regular resources and non-resource URLs"));
        }
        return errors;
    }
    if groups.is_empty() {
        errors.push(groups.required("resource rules must supply at least one api group"));
    }
    if resources.is_empty() {
        errors.push(resources.required("resource rules must supply at least one resource"));
    }
    errors
}
