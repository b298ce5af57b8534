//! Validation of policies and their bindings.
//!
//! upstream: pkg/apis/admissionregistration/validation

use std::collections::HashSet;

use expression::{Environment, Type, is_identifier};
use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{
    dns1035_label, dns1123_subdomain, path_segment_name, qualified_name, validate_label_selector,
};

use super::expressions::{Offered, VARIABLES, check, environment, with_variables};
use super::rules::{validate_conditions, validate_matching};
use crate::check::{At, duplicates, one_of, required, required_name, required_one_of};

const ANNOTATIONS_MAX: usize = 20;
const ANNOTATION_EXPRESSION_MAX: usize = 5 * 1024;
const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
const NOTHING_TO_DO: &str = "validations or auditAnnotations must contain at least one item";
const DENY_AND_WARN: &str = "must not contain both Deny and Warn (repeating the same validation failure information \
    in the API response and headers serves no purpose)";

pub fn validate_policy(policy: &Object) -> ErrorList {
    let spec = At::field(policy, "spec");
    let params = spec.child("paramKind").is_set();
    let mut errors = validate_policy_head(&spec);
    errors.extend(validate_constraints(&spec.child("matchConstraints")));
    errors.extend(validate_conditions(&spec.child("matchConditions"), params));
    let offered = |authorizer| Offered { params, authorizer, ..Offered::default() };
    let [mut of_values, mut of_messages] = [true, false].map(|authorizer| environment(offered(authorizer)));
    let variables = spec.child("variables");
    if !variables.is_empty() {
        [of_values, of_messages] = [of_values, of_messages].map(with_variables);
    }
    for variable in variables.items() {
        let of = validate_variable(&variable, &of_values, &mut errors);
        let name = variable.child("name").text();
        of_values.add_field(VARIABLES, name, of.clone());
        of_messages.add_field(VARIABLES, name, of);
    }
    let (validations, annotations) = (spec.child("validations"), spec.child("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        errors.extend([validations, annotations].map(|list| list.required(NOTHING_TO_DO)));
        return errors;
    }
    let validate = |validation| validate_validation(validation, &of_values, &of_messages);
    errors.extend(validations.items().iter().flat_map(validate));
    let items = annotations.items();
    if items.len() > ANNOTATIONS_MAX {
        errors.push(annotations.invalid(format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations")));
    }
    errors.extend(items.iter().flat_map(|annotation| validate_annotation(annotation, policy.name(), &of_values)));
    errors.extend(duplicates(&items, "key"));
    errors
}

/// What every policy begins with.
pub fn validate_policy_head(spec: &At) -> ErrorList {
    let kind = spec.child("paramKind");
    let mut errors: ErrorList =
        required_one_of(&spec.child("failurePolicy"), &["Fail", "Ignore"]).into_iter().collect();
    if kind.is_set() {
        errors.extend(validate_param_kind(&kind));
    }
    errors
}

/// Which requests a policy is for: of at least one resource.
pub fn validate_constraints(matching: &At) -> ErrorList {
    if !matching.is_set() {
        return vec![matching.required("")];
    }
    let mut errors = validate_matching(matching);
    errors.extend(required(&matching.child("resourceRules")));
    errors
}

fn validate_param_kind(param: &At) -> ErrorList {
    let (version, kind) = (param.child("apiVersion"), param.child("kind"));
    let mut errors = match version.text() {
        "" => vec![version.required("")],
        text if text.matches('/').count() > 1 => {
            vec![version.invalid(format!("unexpected GroupVersion string: {text}"))]
        }
        text => validate_group_version(&version, text),
    };
    let name = kind.text().to_lowercase();
    match (name.is_empty(), dns1035_label(&name)) {
        (true, _) => errors.push(kind.required("")),
        (false, faults) if faults.is_empty() => {}
        (false, faults) => {
            errors.push(kind.invalid(format!("may have mixed case, but should otherwise match: {}", faults.join(","))));
        }
    }
    errors
}

fn validate_group_version(at: &At, text: &str) -> ErrorList {
    let (group, version) = text.split_once('/').unwrap_or(("", text));
    let joined = |value: &str, faults: Vec<String>| {
        (!faults.is_empty()).then(|| Error::invalid(&at.path, value, faults.join(",")))
    };
    let mut errors = ErrorList::new();
    if !group.is_empty() {
        errors.extend(joined(group, dns1123_subdomain(group)));
    }
    if version.is_empty() {
        errors.push(at.invalid("version must be specified"));
    } else {
        errors.extend(joined(version, dns1035_label(version)));
    }
    errors
}

/// The type of a variable, which may refer to those before it; any type if that is not known.
pub fn validate_variable(variable: &At, before: &Environment, errors: &mut ErrorList) -> Type {
    let expression = variable.child("expression");
    errors.extend(validate_variable_name(&variable.child("name")));
    if expression.text().trim().is_empty() {
        errors.push(expression.required("expression is not specified"));
        return Type::Dyn;
    }
    check(before, &expression, expression.text(), &[]).unwrap_or_else(|error| {
        errors.push(error);
        Type::Dyn
    })
}

fn validate_variable_name(name: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    if name.text().trim().is_empty() {
        errors.push(name.required("name is not specified"));
    } else if !is_identifier(name.text()) {
        errors.push(name.invalid("must be a valid CEL identifier"));
    }
    errors
}

fn validate_validation(validation: &At, of_values: &Environment, of_messages: &Environment) -> ErrorList {
    let [expression, message, message_expression] =
        ["expression", "message", "messageExpression"].map(|field| validation.child(field));
    let is_blank = |at: &At| !at.text().is_empty() && at.text().trim().is_empty();
    let mut errors = ErrorList::new();
    if expression.text().trim().is_empty() {
        errors.push(expression.required("expression is not specified"));
    } else {
        errors.extend(check(of_values, &expression, expression.text(), &[Type::Bool]).err());
    }
    if is_blank(&message_expression) {
        errors.push(message_expression.invalid("must be non-empty if specified"));
    } else if !message_expression.is_empty() {
        errors.extend(check(of_messages, &message_expression, message_expression.text(), &[Type::String]).err());
    }
    if is_blank(&message) {
        errors.push(message.invalid("message must be non-empty if specified"));
    } else if message.text().trim().contains(['\n', '\r']) {
        errors.push(message.invalid("must not contain line breaks"));
    }
    errors.extend(one_of(&validation.child("reason"), REASONS));
    errors
}

fn validate_annotation(annotation: &At, policy: &str, environment: &Environment) -> ErrorList {
    let (key, expression) = (annotation.child("key"), annotation.child("valueExpression"));
    let mut errors = ErrorList::new();
    if policy.is_empty() {
        errors.push(key.invalid("requires metadata.name be non-empty"));
    } else {
        let name = format!("{policy}/{}", key.text());
        errors.extend(qualified_name(&name).into_iter().map(|fault| Error::invalid(&key.path, name.as_str(), fault)));
    }
    let text = expression.text().trim();
    match text.len() {
        0 => errors.push(expression.required("valueExpression is not specified")),
        1..=ANNOTATION_EXPRESSION_MAX => {
            errors.extend(check(environment, &expression, text, &[Type::String, Type::Null]).err());
        }
        _ => errors.push(expression.required(&format!("must not exceed {ANNOTATION_EXPRESSION_MAX} bytes in length"))),
    }
    errors
}

/// What the controller found; its references are not parsed.
pub fn validate_policy_status(policy: &Object, _: &Object) -> ErrorList {
    let status = At::field(policy, "status");
    let warnings = status.child("typeChecking").child("expressionWarnings");
    let fields = |warning: &At| ["warning", "fieldRef"].map(|field| required(&warning.child(field)));
    let mut errors: ErrorList = warnings.items().iter().flat_map(fields).flatten().collect();
    errors.extend(crate::check::validate_conditions(&status.child("conditions")));
    errors
}

pub fn validate_binding(binding: &Object) -> ErrorList {
    let spec = At::field(binding, "spec");
    let mut errors = validate_binding_head(&spec);
    errors.extend(validate_actions(&spec.child("validationActions")));
    errors
}

/// What every binding begins with.
pub fn validate_binding_head(spec: &At) -> ErrorList {
    let (reference, matching) = (spec.child("paramRef"), spec.child("matchResources"));
    let mut errors = required_name(&spec.child("policyName"), dns1123_subdomain);
    if reference.is_set() {
        errors.extend(validate_reference(&reference));
    }
    if matching.is_set() {
        errors.extend(validate_matching(&matching));
    }
    errors
}

fn validate_reference(reference: &At) -> ErrorList {
    let [name, selector, missing] = ["name", "selector", "parameterNotFoundAction"].map(|field| reference.child(field));
    let text = "name and selector are mutually exclusive";
    let both = !name.is_empty() && selector.is_set();
    let mut errors = if name.is_empty() { ErrorList::new() } else { name.check(path_segment_name) };
    errors.extend(both.then(|| name.forbidden(text)));
    if selector.is_set() {
        errors.extend(validate_label_selector(selector.value, &selector.path));
        errors.extend(both.then(|| selector.forbidden(text)));
    } else if name.is_empty() {
        errors.push(reference.required("one of name or selector must be specified"));
    }
    errors.extend(required_one_of(&missing, &["Deny", "Allow"]));
    errors
}

fn validate_actions(actions: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for action in actions.items() {
        let supported = ["Audit", "Deny", "Warn"];
        errors.extend((!supported.contains(&action.text())).then(|| action.not_supported(&supported)));
        errors.extend((!seen.insert(action.text())).then(|| action.duplicate()));
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        errors.push(actions.invalid(DENY_AND_WARN));
    }
    errors.extend(seen.is_empty().then(|| actions.required("at least one validation action is required")));
    errors
}
