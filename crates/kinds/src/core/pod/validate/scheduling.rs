//! Where a pod may run: affinity, tolerations, spread.

use std::collections::HashSet;

use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain, label_value, qualified_name, validate_label_selector};

use crate::check::{At, NOT_POSITIVE, one_of, required_one_of};

const NODE_OPERATORS: &[&str] = &["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"];
const TOLERATION_OPERATORS: &[&str] = &["Equal", "Exists"];
const TAINT_EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
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
        errors.extend(validate_node_term(&preferred.child("preference"), false));
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
    terms.items().iter().flat_map(|term| validate_node_term(term, true)).collect()
}

/// Values that no label can have are refused where the term is `strict`.
fn validate_node_term(term: &At, strict: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    for expression in term.child("matchExpressions").items() {
        errors.extend(validate_node_expression(&expression));
        errors.extend(expression.child("key").check(qualified_name));
        let values = expression.child("values").items();
        let strict_values = values.iter().filter(|_| strict);
        errors.extend(strict_values.flat_map(|value| value.messages(label_value(value.text()))));
    }
    errors.extend(term.child("matchFields").items().iter().flat_map(validate_node_field));
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
    if key.text() == "metadata.name" {
        errors.extend(values.items().iter().flat_map(|value| value.check(dns1123_subdomain)));
    } else {
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
        errors.extend(namespace.at(term.path.child("namespace")).check(dns1123_label));
    }
    errors.extend(validate_label_keys(term));
    let key = term.child("topologyKey");
    if key.is_empty() {
        errors.push(key.required("can not be empty"));
    }
    errors.extend(key.check(qualified_name));
    errors
}

/// Labels whose values a term takes from the pod itself.
fn validate_label_keys(term: &At) -> ErrorList {
    let (matching, mismatching) = (term.child("matchLabelKeys"), term.child("mismatchLabelKeys"));
    let mut errors = ErrorList::new();
    for keys in [&matching, &mismatching] {
        if keys.is_empty() {
            continue;
        }
        if !term.child("labelSelector").is_set() {
            errors.push(keys.forbidden("must not be specified when labelSelector is not set"));
        } else {
            errors.extend(keys.items().iter().flat_map(|key| key.check(qualified_name)));
        }
    }
    let others: HashSet<&str> = mismatching.items().iter().map(At::text).collect();
    let both = matching.items().into_iter().filter(|key| others.contains(key.text()));
    errors.extend(both.map(|key| key.invalid("exists in both matchLabelKeys and mismatchLabelKeys")));
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
    // Upstream names the operator where the value is wrong.
    let of_operator = |text: String| Error::invalid(&operator.path, value.text(), text);
    match operator.text() {
        "" | "Equal" => {
            let messages = label_value(value.text());
            errors.extend((!messages.is_empty()).then(|| of_operator(messages.join(";"))));
        }
        "Exists" if !value.is_empty() => {
            errors.push(of_operator("value must be empty when `operator` is 'Exists'".to_owned()));
        }
        _ => errors.extend(one_of(&operator, TOLERATION_OPERATORS)),
    }
    errors.extend(one_of(&effect, TAINT_EFFECTS));
    errors
}

pub fn validate_spread(constraints: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let items = constraints.items();
    for (index, constraint) in items.iter().enumerate() {
        let (key, unsatisfiable) = (constraint.child("topologyKey"), constraint.child("whenUnsatisfiable"));
        let skew = constraint.child("maxSkew");
        if skew.int().unwrap_or(0) <= 0 {
            errors.push(Error::invalid(&skew.path, skew.int().unwrap_or(0), NOT_POSITIVE));
        }
        errors.extend(key.is_empty().then(|| key.required("can not be empty")));
        let known = UNSATISFIABLE.contains(&unsatisfiable.text());
        errors.extend((!known).then(|| Error::not_supported(&unsatisfiable.path, unsatisfiable.text(), UNSATISFIABLE)));
        let same = |other: &At, field: &str| other.child(field).text() == constraint.child(field).text();
        let alike = |other: &At| same(other, "topologyKey") && same(other, "whenUnsatisfiable");
        if items[index + 1..].iter().any(alike) {
            let path = constraint.path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(Error::duplicate(&path, format!("{{{}, {}}}", key.text(), unsatisfiable.text())));
        }
        errors.extend(validate_domains(&constraint.child("minDomains"), unsatisfiable.text()));
        for policy in constraint.set_children(&["nodeAffinityPolicy", "nodeTaintsPolicy"]) {
            errors.extend(one_of(&policy, INCLUSION));
        }
        errors.extend(validate_spread_keys(constraint));
        let selector = constraint.child("labelSelector");
        errors.extend(validate_label_selector(selector.value, &selector.path));
    }
    errors
}

fn validate_domains(domains: &At, unsatisfiable: &str) -> ErrorList {
    let Some(count) = domains.int() else { return ErrorList::new() };
    let mut errors: ErrorList = (count <= 0).then(|| domains.invalid(NOT_POSITIVE)).into_iter().collect();
    if unsatisfiable != "DoNotSchedule" {
        let text = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {unsatisfiable}");
        errors.push(domains.invalid(text));
    }
    errors
}

fn validate_spread_keys(constraint: &At) -> ErrorList {
    let (keys, selector) = (constraint.child("matchLabelKeys"), constraint.child("labelSelector"));
    let mut errors = ErrorList::new();
    if !keys.is_empty() && !selector.is_set() {
        errors.push(keys.forbidden("must not be specified when labelSelector is not set"));
    }
    let expressions = selector.child("matchExpressions").items();
    for key in keys.items() {
        errors.extend(key.check(qualified_name));
        let selected = selector.child("matchLabels").child(key.text()).is_set()
            || expressions.iter().any(|expression| expression.child("key").text() == key.text());
        errors.extend(selected.then(|| key.invalid("exists in both matchLabelKeys and labelSelector")));
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
        let messages = label_value(value.text());
        errors.extend((!messages.is_empty()).then(|| value.invalid(messages.join(";"))));
        errors.extend(required_one_of(&effect, TAINT_EFFECTS));
        if !seen.insert((key.text(), effect.text())) {
            let mut duplicate = taint.duplicate();
            duplicate.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(duplicate);
        }
    }
    errors
}
