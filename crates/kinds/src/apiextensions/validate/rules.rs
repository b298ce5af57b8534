//! `x-kubernetes-validations` in a schema.

use machinery::field::{Error, ErrorList, Path};
use serde_json::{Value, json};
use structural::{Compiled, Schema, resolve_path};

use super::cost::Total;
use crate::check::At;

const REASONS: &[&str] = &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is wrong with the texts of rules.
pub fn validate_texts(schema: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    for rule in schema.child("x-kubernetes-validations").items() {
        let [text, message] = ["rule", "message"].map(|name| rule.child(name));
        let breaks = |text: &str| text.contains(['\n', '\r']);
        if text.text().trim().is_empty() {
            errors.push(text.required("rule is not specified"));
        } else if !message.is_empty() && message.text().trim().is_empty() {
            errors.push(message.invalid("must be non-empty if specified"));
        } else if breaks(message.text().trim()) {
            errors.push(message.invalid("must not contain line breaks"));
        } else if breaks(text.text().trim()) && message.is_empty() {
            errors.push(message.required("message must be specified if rule contains line breaks"));
        }
        let expression = rule.child("messageExpression");
        if !expression.is_empty() && expression.text().trim().is_empty() {
            errors.push(expression.required("messageExpression must be non-empty if specified"));
        }
        let reason = rule.child("reason");
        errors.extend((reason.is_set() && !REASONS.contains(&reason.text())).then(|| reason.not_supported(REASONS)));
        let path = rule.child("fieldPath");
        if path.is_empty() {
            continue;
        }
        if path.text().trim().is_empty() {
            errors.push(path.invalid("must be non-empty if specified"));
        }
        if breaks(path.text()) {
            errors.push(path.invalid("must not contain line breaks"));
        }
        if resolve_path(path.text(), &Schema::root(schema.value), true).is_err() {
            errors.push(path.invalid("must be a valid path"));
        }
    }
    errors
}

/// Compiles the rules of a schema and adds their cost. `often` says how often values of it are in an object at most;
/// `uncorrelated` is the outermost part that has no counterpart in an older object.
pub fn validate_compiled(
    schema: &At,
    resource: bool,
    often: Option<u64>,
    uncorrelated: Option<&Path>,
    total: &mut Total,
) -> ErrorList {
    let rules = schema.child("x-kubernetes-validations");
    let Some((compiled, most)) = structural::compile(schema.value, resource) else {
        let text = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to \
                    convert structural schema to CEL declarations";
        return vec![Error::internal(&rules.path, text)];
    };
    let often = often.unwrap_or(most);
    let pairs = rules.items().into_iter().zip(compiled);
    pairs.flat_map(|(rule, compiled)| of_rule(&rule, &compiled, often, uncorrelated, total)).collect()
}

fn of_rule(rule: &At, compiled: &Compiled, often: u64, uncorrelated: Option<&Path>, total: &mut Total) -> ErrorList {
    let mut errors = ErrorList::new();
    let text = rule.child("rule");
    match &compiled.program {
        None => {}
        Some(Ok(program)) => errors.extend(total.add(&text.path, "rule", program.cost().max.saturating_mul(often))),
        Some(Err(why)) => errors.push(Error::invalid(&text.path, shown(rule.value), why.as_str())),
    }
    let expression = rule.child("messageExpression");
    match &compiled.message {
        None => {}
        Some(Ok(program)) => {
            errors.extend(total.add(&expression.path, "messageExpression", program.cost().max));
        }
        Some(Err(why)) => errors.push(Error::invalid(&expression.path, shown(rule.value), why.as_str())),
    }
    let optional = rule.child("optionalOldSelf");
    match (compiled.uses_old_self, uncorrelated) {
        (true, Some(path)) => {
            let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {path}");
            errors.push(text.invalid(why));
        }
        (false, _) if optional.is_set() => {
            errors.push(optional.invalid("may not be set if oldSelf is not used in rule"))
        }
        _ => {}
    }
    errors
}

/// A rule as errors show it: with the names that it has in Go.
fn shown(rule: &Value) -> Value {
    let text = |name: &str| rule[name].as_str().unwrap_or_default();
    json!({
        "Rule": text("rule"), "Message": text("message"), "MessageExpression": text("messageExpression"),
        "Reason": rule["reason"], "FieldPath": text("fieldPath"), "OptionalOldSelf": rule["optionalOldSelf"],
    })
}
