//! Where a pod may run: affinity, tolerations, spread.

use std::collections::HashSet;

use machinery::field::ErrorList;
use machinery::validation::{label_value, qualified_name, validate_label_selector};

use crate::check::{At, one_of, required, required_name, required_one_of};

const NODE_OPERATORS: &[&str] = &["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"];
const TOLERATION_OPERATORS: &[&str] = &["Equal", "Exists"];
const TAINT_EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "PreferNoSchedule"];
const UNSATISFIABLE: &[&str] = &["DoNotSchedule", "ScheduleAnyway"];
const INCLUSION: &[&str] = &["Honor", "Ignore"];
const REQUIRED_TERMS: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED_TERMS: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn validate_affinity(affinity: &At) -> ErrorList {
    let node = affinity.child("nodeAffinity");
    let mut errors = ErrorList::new();
    if node.child(REQUIRED_TERMS).is_set() {
        errors.extend(validate_node_selector(&node.child(REQUIRED_TERMS)));
    }
    for preferred in node.child(PREFERRED_TERMS).items() {
        errors.extend(validate_weight(&preferred));
        errors.extend(validate_node_term(&preferred.child("preference")));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.child(kind);
        errors.extend(pods.child(REQUIRED_TERMS).items().iter().flat_map(validate_pod_term));
        for preferred in pods.child(PREFERRED_TERMS).items() {
            errors.extend(validate_weight(&preferred));
            errors.extend(validate_pod_term(&preferred.child("podAffinityTerm")));
        }
    }
    errors
}

fn validate_weight(preferred: &At) -> ErrorList {
    let weight = preferred.child("weight");
    let number = weight.int().unwrap_or(0);
    weight.messages(if (1..=100).contains(&number) {
        Vec::new()
    } else {
        vec!["must be in the range 1-100".to_owned()]
    })
}

/// `core/v1` NodeSelector: at least one term.
pub fn validate_node_selector(selector: &At) -> ErrorList {
    let terms = selector.child("nodeSelectorTerms");
    if terms.is_empty() {
        return vec![terms.required("must have at least one node selector term")];
    }
    terms.items().iter().flat_map(validate_node_term).collect()
}

fn validate_node_term(term: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for expression in term.child("matchExpressions").items() {
        errors.extend(validate_node_expression(&expression));
        errors.extend(expression.child("key").check(qualified_name));
    }
    for field in term.child("matchFields").items() {
        errors.extend(validate_node_field(&field));
    }
    errors
}

fn validate_node_expression(expression: &At) -> ErrorList {
    let (operator, values) = (expression.child("operator"), expression.child("values"));
    let count = values.items().len();
    let problem = match operator.text() {
        "In" | "NotIn" if count == 0 => values.required("must be specified when `operator` is 'In' or 'NotIn'"),
        "Exists" | "DoesNotExist" if count > 0 => {
            values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        }
        "Gt" | "Lt" if count != 1 => values.required("must be specified single value when `operator` is 'Lt' or 'Gt'"),
        known if NODE_OPERATORS.contains(&known) => return ErrorList::new(),
        _ => operator.invalid("not a valid selector operator"),
    };
    vec![problem]
}

fn validate_node_field(field: &At) -> ErrorList {
    let (key, operator, values) = (field.child("key"), field.child("operator"), field.child("values"));
    let mut errors = ErrorList::new();
    if !["In", "NotIn"].contains(&operator.text()) {
        errors.push(operator.invalid("not a valid selector operator"));
    } else if values.items().len() != 1 {
        errors
            .push(values.required("must be only one value when `operator` is 'In' or 'NotIn' for node field selector"));
    }
    if key.text() != "metadata.name" {
        errors.push(key.invalid("not a valid field selector key"));
    }
    errors
}

fn validate_pod_term(term: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for selector in term.set_children(&["labelSelector", "namespaceSelector"]) {
        errors.extend(validate_label_selector(selector.value, &selector.path));
    }
    for namespace in term.child("namespaces").items() {
        errors.extend(namespace.check(machinery::validation::dns1123_label));
    }
    let key = term.child("topologyKey");
    if key.is_empty() {
        errors.push(key.required("can not be empty"));
    }
    errors.extend(key.check(qualified_name));
    errors
}

pub fn validate_tolerations(tolerations: &At) -> ErrorList {
    tolerations.items().iter().flat_map(validate_toleration).collect()
}

fn validate_toleration(toleration: &At) -> ErrorList {
    let (key, operator, value, effect) =
        (toleration.child("key"), toleration.child("operator"), toleration.child("value"), toleration.child("effect"));
    let mut errors = ErrorList::new();
    if !key.is_empty() {
        errors.extend(key.check(qualified_name));
    } else if operator.text() != "Exists" {
        errors.push(
            operator
                .invalid("operator must be Exists when `key` is empty, which means \"match all values and all keys\""),
        );
    }
    if toleration.child("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
        errors.push(effect.invalid("effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    match operator.text() {
        "" | "Equal" => errors.extend(value.messages(label_value(value.text()))),
        "Exists" if !value.is_empty() => {
            errors.push(value.invalid("value must be empty when `operator` is 'Exists'"));
        }
        _ => errors.extend(one_of(&operator, TOLERATION_OPERATORS)),
    }
    errors.extend(one_of(&effect, TAINT_EFFECTS));
    errors
}

pub fn validate_spread(constraints: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for constraint in constraints.items() {
        let (key, unsatisfiable) = (constraint.child("topologyKey"), constraint.child("whenUnsatisfiable"));
        errors.extend(validate_skew(&constraint));
        errors.extend(if key.is_empty() {
            vec![key.required("can not be empty")]
        } else {
            required_name(&key, qualified_name)
        });
        errors.extend(required_one_of(&unsatisfiable, UNSATISFIABLE));
        if !seen.insert((key.text(), unsatisfiable.text())) {
            let pair = format!("{{{}, {}}}", key.text(), unsatisfiable.text());
            errors.push(machinery::field::Error::duplicate(
                &constraint.path.child("{topologyKey, whenUnsatisfiable}"),
                pair,
            ));
        }
        for policy in constraint.set_children(&["nodeAffinityPolicy", "nodeTaintsPolicy"]) {
            errors.extend(one_of(&policy, INCLUSION));
        }
        let selector = constraint.child("labelSelector");
        if selector.is_set() {
            errors.extend(validate_label_selector(selector.value, &selector.path));
        }
    }
    errors
}

fn validate_skew(constraint: &At) -> ErrorList {
    let (skew, domains) = (constraint.child("maxSkew"), constraint.child("minDomains"));
    let mut errors: ErrorList = required(&skew).into_iter().collect();
    if skew.int().is_some_and(|skew| skew <= 0) {
        errors.push(skew.invalid("must be greater than zero"));
    }
    if let Some(count) = domains.int() {
        if count <= 0 {
            errors.push(domains.invalid("must be greater than zero"));
        }
        let hard = constraint.child("whenUnsatisfiable").text() == "DoNotSchedule";
        if !hard {
            let text = "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway";
            errors.push(domains.invalid(text));
        }
    }
    errors
}

/// The taints of a node.
pub fn validate_taints(taints: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for taint in taints.items() {
        let (key, value, effect) = (taint.child("key"), taint.child("value"), taint.child("effect"));
        errors.extend(key.check(qualified_name));
        errors.extend(value.messages(label_value(value.text())));
        errors.extend(required_one_of(&effect, TAINT_EFFECTS));
        if !seen.insert((key.text(), effect.text())) {
            let mut duplicate = taint.duplicate();
            duplicate.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(duplicate);
        }
    }
    errors
}
