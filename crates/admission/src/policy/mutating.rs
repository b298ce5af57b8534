//! MutatingAdmissionPolicies: expressions that change an object.
//!
//! upstream: apiserver/pkg/admission/plugin/policy/mutating

use expression::{RUNTIME_BUDGET, Value};
use kinds::KindDef;
use machinery::decode::FieldPolicy;
use machinery::{Object, apply, patch};
use serde_json::Value as Json;

use super::frame::Frame;
use super::scope::Scope;
use super::select::Framed;
use crate::changed::{self, Shape};
use crate::conditions::{Budget, Compiled, Failed};
use crate::inputs::Inputs;
use crate::subject::Subject;

pub struct Policy {
    pub frame: Frame,
    pub mutations: Vec<Mutation>,
    /// Whether it wants to see what others changed after it.
    pub reinvocable: bool,
}

pub enum Mutation {
    /// Makes a configuration that is laid over the object.
    Apply(Compiled),
    /// Makes the operations of a JSON patch.
    Patch(Compiled),
}

impl Framed for Policy {
    fn frame(&self) -> &Frame {
        &self.frame
    }
}

pub fn compile(policy: &Object) -> Policy {
    let (frame, environments) = Frame::compile(policy, true);
    let mutation = |mutation: &Json| {
        let compiled = |field: &str| {
            Compiled::new(&environments.full, mutation[field]["expression"].as_str().unwrap_or_default().trim())
        };
        match mutation["patchType"] == "JSONPatch" {
            true => Mutation::Patch(compiled("jsonPatch")),
            false => Mutation::Apply(compiled("applyConfiguration")),
        }
    };
    Policy {
        frame,
        mutations: policy.list(&["spec", "mutations"]).iter().map(mutation).collect(),
        reinvocable: policy.str(&["spec", "reinvocationPolicy"]) == "IfNeeded",
    }
}

impl Mutation {
    /// What becomes of the object that `inputs` show; the error is upstream's text.
    pub fn apply(
        &self,
        frame: &Frame,
        subject: &Subject<'_>,
        kind: &'static KindDef,
        inputs: &Inputs<'_>,
    ) -> Result<Option<Object>, String> {
        let Some(before) = inputs.object else { return Ok(None) };
        let scope = Scope::new(inputs, &frame.variables);
        let shape = Shape::of(subject, kind);
        let made =
            |expression: &Compiled| scope.evaluate(expression, &mut Budget(RUNTIME_BUDGET)).map_err(Failed::into_text);
        let (after, policy) = match self {
            Self::Apply(expression) => {
                let config = configuration(&made(expression)?, before)?;
                let laid = apply::overlay(&before.0, &config.0, shape.layout().form());
                let laid = laid.map_err(|why| format!("error applying patch: {why}"))?;
                // What was laid over it was held against the schema already.
                (Json::Object(laid), FieldPolicy::Ignore)
            }
            Self::Patch(expression) => {
                let operations = operations(&made(expression)?)?;
                let patched = patch::json_patch_if(before.clone().into_value(), &operations);
                match patched.map_err(|error| format!("JSON Patch: {}", error.message))? {
                    Some(patched) => (patched, FieldPolicy::Strict),
                    None => return Ok(None),
                }
            }
        };
        changed::decode(before, after, &shape, policy).map(Some).map_err(|error| error.message)
    }
}

/// The configuration that an expression made, for the object that it is laid over.
fn configuration(made: &Value<'_>, object: &Object) -> Result<Object, String> {
    check_types(made, &mut vec!["Object".to_owned()])?;
    let config = made.to_json().map_err(|error| error.to_string())?;
    let mut config = Object::from_value(config).ok_or("unsupported return type from ApplyConfiguration expression")?;
    for field in ["apiVersion", "kind"] {
        if let Some(value) = object.get(&[field]) {
            config.set(&[field], value.clone());
        }
    }
    Ok(config)
}

/// The operations that an expression made, as JSON.
fn operations(made: &Value<'_>) -> Result<Json, String> {
    let Value::List(list) = made else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut operations = Vec::new();
    for operation in list.iter() {
        let operation = operation.map_err(|error| error.to_string())?;
        if let Value::Message(message) = &operation
            && let Some(value @ Value::Message(of)) = message.fields.get("value")
        {
            check_types(value, &mut vec![of.name.to_string()])?;
        }
        let unfit =
            |error| format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {error}");
        let mut operation = operation.to_json().map_err(unfit)?;
        if let Some(fields) = operation.as_object_mut()
            && fields.get("from").is_some_and(|from| from == "")
        {
            fields.remove("from");
        }
        operations.push(operation);
    }
    Ok(Json::Array(operations))
}

/// Names of types say where an object stands: `Object.spec.selector`.
fn check_types(value: &Value<'_>, path: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Message(message) => {
            let expected = path.join(".");
            if *message.name != *expected {
                let found = &message.name;
                return Err(format!(
                    "type mismatch: unexpected type name {found:?}, expected {expected:?}, which matches field name \
                     path from root Object type"
                ));
            }
            for (field, value) in &message.fields {
                path.push(field.to_string());
                check_types(value, path)?;
                path.pop();
            }
            Ok(())
        }
        Value::List(list) => {
            list.iter().try_for_each(|item| check_types(&item.map_err(|error| error.to_string())?, path))
        }
        Value::Optional(Some(inner)) => check_types(inner, path),
        _ => Ok(()),
    }
}
