//! ValidatingAdmissionPolicies: expressions that an object must fulfil.
//!
//! upstream: apiserver/pkg/admission/plugin/policy/validating/validator.go

use expression::{RUNTIME_BUDGET, Value};
use machinery::{Object, Reason};
use serde_json::Value as Json;

use super::frame::Frame;
use super::scope::Scope;
use super::select::Framed;
use crate::conditions::{Budget, Compiled, Failed, Met};
use crate::inputs::Inputs;

/// Bytes of a message that an expression may make.
const MESSAGE_MAX: usize = 5 * 1024;

pub struct Policy {
    pub frame: Frame,
    validations: Vec<Validation>,
    annotations: Vec<Annotation>,
}

struct Validation {
    expression: Compiled,
    message: String,
    message_expression: Option<Compiled>,
    reason: Reason,
}

struct Annotation {
    key: String,
    value: Compiled,
}

/// What one validation came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Admit,
    /// It failed to be evaluated, and failures are ignored.
    Ignore {
        message: String,
    },
    Deny {
        message: String,
        reason: Reason,
    },
}

/// What a policy says of a request.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// In the order of the validations.
    pub decisions: Vec<Decision>,
    /// Keys and values.
    pub annotations: Vec<(String, String)>,
    /// Annotations that could not be made.
    pub failed_annotations: Vec<String>,
}

impl Framed for Policy {
    fn frame(&self) -> &Frame {
        &self.frame
    }
}

pub fn compile(policy: &Object) -> Policy {
    let (frame, environments) = Frame::compile(policy, false);
    let validation = |validation: &Json| {
        let text = |field: &str| validation[field].as_str().unwrap_or_default();
        let message = text("messageExpression");
        Validation {
            expression: Compiled::new(&environments.full, text("expression")),
            message: text("message").trim().to_owned(),
            message_expression: (!message.is_empty()).then(|| Compiled::new(&environments.plain, message)),
            reason: match text("reason") {
                "" => Reason::Invalid,
                reason => Reason::named(reason),
            },
        }
    };
    let annotation = |annotation: &Json| {
        let text = |field: &str| annotation[field].as_str().unwrap_or_default();
        Annotation { key: text("key").to_owned(), value: Compiled::new(&environments.full, text("valueExpression")) }
    };
    let validations = policy.list(&["spec", "validations"]).iter().map(validation).collect();
    let annotations = policy.list(&["spec", "auditAnnotations"]).iter().map(annotation).collect();
    Policy { frame, validations, annotations }
}

impl Policy {
    pub fn evaluate(&self, inputs: &Inputs<'_>) -> Verdict {
        match self.frame.conditions.evaluate(inputs) {
            Met::Yes => {}
            Met::No => return Verdict::default(),
            Met::Unknown(why) => return self.failed(why),
        }
        let scope = Scope::new(inputs, &self.frame.variables);
        let mut budget = Budget(RUNTIME_BUDGET);
        let mut verdict = Verdict::default();
        for validation in &self.validations {
            match self.decide(validation, &scope, &mut budget) {
                Ok(decision) => verdict.decisions.push(decision),
                Err(why) => return self.failed(why),
            }
        }
        match self.annotate(&scope, &mut verdict) {
            Ok(()) => verdict,
            Err(why) => self.failed(why),
        }
    }

    /// The error says why nothing more can be evaluated.
    fn decide(&self, validation: &Validation, scope: &Scope<'_>, budget: &mut Budget) -> Result<Decision, String> {
        match scope.evaluate(&validation.expression, budget) {
            Ok(Value::Bool(true)) => Ok(Decision::Admit),
            Ok(_) => {
                let reason = validation.reason;
                Ok(match validation.message(scope, budget) {
                    Ok(message) => Decision::Deny { message, reason },
                    Err(why) => self.on_failure(why),
                })
            }
            Err(Failed::This(why)) => Ok(self.on_failure(why)),
            Err(failed) => Err(failed.into_text()),
        }
    }

    fn on_failure(&self, message: String) -> Decision {
        match self.frame.ignores_failures {
            true => Decision::Ignore { message },
            false => Decision::Deny { message, reason: Reason::Invalid },
        }
    }

    fn failed(&self, why: String) -> Verdict {
        Verdict { decisions: vec![self.on_failure(why)], ..Verdict::default() }
    }

    fn annotate(&self, scope: &Scope<'_>, verdict: &mut Verdict) -> Result<(), String> {
        let mut budget = Budget(RUNTIME_BUDGET);
        for annotation in &self.annotations {
            match scope.evaluate(&annotation.value, &mut budget) {
                Ok(Value::Null) => {}
                Ok(value) => {
                    let text = value.as_str().unwrap_or_default().trim();
                    if !text.is_empty() {
                        verdict.annotations.push((annotation.key.clone(), text.to_owned()));
                    }
                }
                Err(Failed::This(_)) if self.frame.ignores_failures => {}
                Err(Failed::This(why)) => verdict.failed_annotations.push(why),
                Err(failed) => return Err(failed.into_text()),
            }
        }
        Ok(())
    }
}

impl Validation {
    /// What is said of an object that does not pass.
    fn message(&self, scope: &Scope<'_>, budget: &mut Budget) -> Result<String, String> {
        if let Some(expression) = &self.message_expression {
            match scope.evaluate(expression, budget) {
                Ok(value) => {
                    let text = value.as_str().unwrap_or_default().trim();
                    if !text.is_empty() && text.len() <= MESSAGE_MAX && !text.contains('\n') {
                        return Ok(text.to_owned());
                    }
                }
                Err(Failed::This(why)) => tracing::debug!(%why, "a message could not be made"),
                Err(failed) => return Err(format!("failed messageExpression: {}", failed.into_text())),
            }
        }
        if !self.message.is_empty() {
            return Ok(self.message.clone());
        }
        Ok(format!("failed expression: {}", self.expression.text.trim()))
    }
}
