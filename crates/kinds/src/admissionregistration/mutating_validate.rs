//! Validation of policies that change objects, and of their bindings.
//!
//! upstream: pkg/apis/admissionregistration/validation

use expression::{Environment, Type};
use machinery::Object;
use machinery::field::{Error, ErrorList};

use super::expressions::{Offered, VARIABLES, check, environment, with_variables};
use super::policy_validate::{validate_binding_head, validate_constraints, validate_policy_head, validate_variable};
use super::rules::validate_conditions;
use crate::check::{At, one_of, required_one_of};

/// Deletions can not be changed.
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];
const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
const APPLY_CONFIGURATION: &str = "ApplyConfiguration";
const JSON_PATCH: &str = "JSONPatch";

pub fn validate_policy(policy: &Object) -> ErrorList {
    let spec = At::field(policy, "spec");
    let params = spec.child("paramKind").is_set();
    let (constraints, mutations) = (spec.child("matchConstraints"), spec.child("mutations"));
    let mut errors = validate_policy_head(&spec);
    errors.extend(validate_constraints(&constraints));
    errors.extend(validate_operations(&constraints));
    errors.extend(validate_conditions(&spec.child("matchConditions"), params));
    let offered = Offered { params, authorizer: true, ..Offered::default() };
    let mut of_variables = with_variables(environment(offered));
    let mut of_mutations = with_variables(environment(Offered { patches: true, ..offered }));
    for variable in spec.child("variables").items() {
        let of = validate_variable(&variable, &of_variables, &mut errors);
        let name = variable.child("name").text();
        of_variables.add_field(VARIABLES, name, of.clone());
        of_mutations.add_field(VARIABLES, name, of);
    }
    if mutations.is_empty() {
        errors.push(mutations.required("mutations must contain at least one item"));
    }
    errors.extend(mutations.items().iter().flat_map(|mutation| validate_mutation(mutation, &of_mutations)));
    errors.extend(required_one_of(&spec.child("reinvocationPolicy"), REINVOCATION_POLICIES));
    errors
}

pub fn validate_binding(binding: &Object) -> ErrorList {
    let spec = At::field(binding, "spec");
    let mut errors = validate_binding_head(&spec);
    errors.extend(validate_operations(&spec.child("matchResources")));
    errors
}

/// Operations that can not be matched, told without saying of which rule, as upstream tells them.
fn validate_operations(matching: &At) -> ErrorList {
    let rules = matching.child("resourceRules");
    let path = rules.path.child("operations");
    let operations = rules.items().into_iter().flat_map(|rule| rule.child("operations").items());
    operations.filter_map(|operation| unsupported(&operation.at(path.clone()))).collect()
}

fn unsupported(operation: &At) -> Option<Error> {
    (!OPERATIONS.contains(&operation.text())).then(|| operation.not_supported(OPERATIONS))
}

fn validate_mutation(mutation: &At, environment: &Environment) -> ErrorList {
    let (of_type, apply, patch) =
        (mutation.child("patchType"), mutation.child("applyConfiguration"), mutation.child("jsonPatch"));
    match of_type.text() {
        "" => vec![of_type.required("")],
        APPLY_CONFIGURATION => {
            let object = Type::object("Object");
            one_mutation(APPLY_CONFIGURATION, [&apply, &patch], |at| validate_expression(at, environment, object))
        }
        JSON_PATCH => {
            let operations = Type::list(Type::object("JSONPatch"));
            one_mutation(JSON_PATCH, [&patch, &apply], |at| validate_expression(at, environment, operations))
        }
        _ => one_of(&of_type, &[APPLY_CONFIGURATION, JSON_PATCH]).into_iter().collect(),
    }
}

/// The mutation that the type names must be there, the other one must not.
fn one_mutation(of_type: &str, [wanted, other]: [&At; 2], validate: impl FnOnce(&At) -> ErrorList) -> ErrorList {
    let mut errors = match wanted.is_set() {
        true => validate(&wanted.child("expression")),
        false => vec![wanted.required(&format!("must be specified when patchType is {of_type}"))],
    };
    if other.is_set() {
        let text = format!("must not be specified when patchType is {of_type}");
        errors.push(Error::invalid(&other.path, format!("{{{}}}", other.name()), text));
    }
    errors
}

fn validate_expression(expression: &At, environment: &Environment, wanted: Type) -> ErrorList {
    match expression.text().trim() {
        "" => vec![expression.required("")],
        text => check(environment, expression, text, &[wanted]).err().into_iter().collect(),
    }
}
