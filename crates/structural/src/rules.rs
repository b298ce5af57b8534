//! `x-kubernetes-validations`: rules in CEL, compiled once.

use std::cell::LazyCell;
use std::sync::Arc;

use expression::{CompileError, Environment, Program, Shape, Type as CelType};
use serde_json::Value;

use crate::path;
use crate::schema::Schema;

const SELF: &str = "self";
const OLD_SELF: &str = "oldSelf";
/// Names the type of what a rule is about in messages; nothing refers to it.
const TYPE_NAME: &str = "selfType";

/// The rules of one schema.
#[derive(Debug)]
pub struct Rules {
    /// How values are read; nothing where no expression can look into them.
    pub(crate) shape: Option<Arc<Shape>>,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub compiled: Compiled,
    pub rule: Box<str>,
    pub message: Box<str>,
    pub message_expression: Box<str>,
    pub reason: Option<Box<str>>,
    pub optional_old_self: bool,
}

/// What became of a rule's texts.
#[derive(Debug, Default)]
pub struct Compiled {
    /// Nothing for an empty rule.
    pub program: Option<Result<Program, String>>,
    pub uses_old_self: bool,
    pub message: Option<Result<Program, String>>,
    /// Where an error is told, below what the rule is about.
    pub field_path: Option<String>,
}

impl Rules {
    pub(crate) fn parse(json: &Value, resource: bool) -> Option<Self> {
        let rules = json["x-kubernetes-validations"].as_array().filter(|rules| !rules.is_empty())?;
        let shape = Shape::from_schema(json, TYPE_NAME, resource).map(Arc::new);
        let compiled = compile_all(json, shape.as_ref(), rules);
        let text = |rule: &Value, name: &str| rule[name].as_str().unwrap_or_default().into();
        let rule = |(rule, compiled): (&Value, Compiled)| Rule {
            compiled,
            rule: text(rule, "rule"),
            message: text(rule, "message"),
            message_expression: text(rule, "messageExpression"),
            reason: rule["reason"].as_str().map(Into::into),
            optional_old_self: rule["optionalOldSelf"] == Value::Bool(true),
        };
        Some(Self { shape, rules: rules.iter().zip(compiled).map(rule).collect() })
    }
}

/// Compiles the rules of a schema, not those below it. Answers with how often values of the schema can be in one
/// request at most; nothing where no expression can look into them.
pub fn compile(json: &Value, resource: bool) -> Option<(Vec<Compiled>, u64)> {
    let rules = json["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shape = Arc::new(Shape::from_schema(json, TYPE_NAME, resource)?);
    let often = expression::REQUEST_MAX / (shape.min_size + 1);
    Some((compile_all(json, Some(&shape), rules), often))
}

fn compile_all(json: &Value, shape: Option<&Arc<Shape>>, rules: &[Value]) -> Vec<Compiled> {
    let Some(shape) = shape else {
        let failed = || Compiled {
            program: Some(Err("failed to convert to declType for CEL validation rules".to_owned())),
            ..Compiled::default()
        };
        return rules.iter().map(|_| failed()).collect();
    };
    let alone = Environment::new().with_shape(SELF, shape.clone());
    let with_old = alone.clone().with_shape(OLD_SELF, shape.clone());
    let with_optional = alone.clone().with_variable(OLD_SELF, CelType::optional(shape.to_type()));
    // Paths are looked up in a schema without rules: this may be within the parse of it.
    let bare = LazyCell::new(|| Schema::parse(&without_rules(json), false));
    let compile = |rule: &Value| {
        let optional = rule["optionalOldSelf"] == Value::Bool(true);
        let mut compiled = compile_rule(rule, &alone, if optional { &with_optional } else { &with_old });
        if let (Some(Ok(_)), Some(at)) = (&compiled.program, rule["fieldPath"].as_str().filter(|at| !at.is_empty())) {
            compiled.field_path = path::resolve(at, &bare, true).ok().map(|found| found.text);
        }
        compiled
    };
    rules.iter().map(compile).collect()
}

fn compile_rule(rule: &Value, alone: &Environment, environment: &Environment) -> Compiled {
    let text = |name: &str| rule[name].as_str().unwrap_or_default();
    let source = text("rule");
    if source.trim().is_empty() {
        return Compiled::default();
    }
    let program = compile_text(environment, source, "", &CelType::Bool, "cel expression must evaluate to a bool");
    let uses_old_self = program.is_ok() && source.contains(OLD_SELF) && alone.compile(source).is_err();
    let mut compiled = Compiled { program: Some(program), uses_old_self, ..Compiled::default() };
    if matches!(compiled.program, Some(Err(_))) {
        return compiled;
    }
    let message = text("messageExpression");
    if !message.is_empty() {
        let wrong = "messageExpression must evaluate to a string";
        compiled.message = Some(compile_text(environment, message, "messageExpression ", &CelType::String, wrong));
    }
    compiled
}

fn compile_text(
    environment: &Environment,
    source: &str,
    what: &str,
    wanted: &CelType,
    wrong: &str,
) -> Result<Program, String> {
    let program = environment.compile(source).map_err(|error| match error {
        CompileError::Invalid(issues) => format!("{what}compilation failed: {issues}"),
        CompileError::Program(why) if what.is_empty() => format!("program instantiation failed: {why}"),
        CompileError::Program(why) => format!("{what}instantiation failed: {why}"),
    })?;
    if program.result() == wanted { Ok(program) } else { Err(wrong.to_owned()) }
}

fn without_rules(json: &Value) -> Value {
    match json {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| *name != "x-kubernetes-validations");
            Value::Object(kept.map(|(name, value)| (name.clone(), without_rules(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_rules).collect(),
        scalar => scalar.clone(),
    }
}
