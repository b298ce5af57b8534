//! Whether the expressions of a policy fit the types of what it is about. What does not is told in the policy's
//! status, and changes nothing of what the policy does.
//!
//! upstream: apiserver/pkg/admission/plugin/policy/validating/typechecking.go

use std::collections::BTreeSet;
use std::sync::Arc;

use expression::{CompileError, Environment, Form, Merge, Shape, Type};
use machinery::{GroupVersion, GroupVersionKind, Object};
use schema::Message;
use serde_json::Value;

use super::expressions::{Offered, VARIABLES, environment, with_variables};
use crate::def::KindDef;
use crate::tree::{list_of, str_of};

/// Kinds of one policy that are looked at.
const KINDS_MAX: usize = 10;

/// An expression that does not fit, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionWarning {
    /// `spec.validations[0].expression`
    pub field: String,
    pub text: String,
}

/// Looks at the validations of a policy and at their messages. Kinds that are not built in are passed over.
pub fn type_check(policy: &Object) -> Vec<ExpressionWarning> {
    let kinds = kinds_of(policy);
    let environments: Vec<(GroupVersionKind, Environment)> =
        kinds.into_iter().filter_map(|kind| Some((kind.gvk(), typed(policy, kind)?))).collect();
    let mut warnings = Vec::new();
    for (index, validation) in policy.list(&["spec", "validations"]).iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let expression = str_of(validation, field);
            let faults: Vec<String> = match expression {
                "" => Vec::new(),
                text => environments.iter().filter_map(|(gvk, of)| fault(gvk, of, text)).collect(),
            };
            if !faults.is_empty() {
                let field = format!("spec.validations[{index}].{field}");
                warnings.push(ExpressionWarning { field, text: faults.join("\n") });
            }
        }
    }
    warnings
}

fn fault(gvk: &GroupVersionKind, environment: &Environment, text: &str) -> Option<String> {
    match environment.compile(text) {
        Ok(_) => None,
        Err(CompileError::Invalid(issues)) => Some(format!("{gvk}: compilation failed: {issues}\n")),
        Err(CompileError::Program(why)) => Some(format!("{gvk}: type checking error: {why}\n")),
    }
}

/// What rules name without wildcards.
fn kinds_of(policy: &Object) -> Vec<&'static KindDef> {
    let mut kinds: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for rule in policy.list(&["spec", "matchConstraints", "resourceRules"]) {
        let texts = |field: &str| list_of(rule, field).iter().filter_map(Value::as_str).collect::<Vec<_>>();
        let (groups, versions, resources) = (texts("apiGroups"), texts("apiVersions"), texts("resources"));
        if groups.iter().chain(&versions).any(|text| text.contains('*')) {
            continue;
        }
        for group in &groups {
            for version in &versions {
                let named = resources.iter().filter(|resource| !resource.contains(['*', '/']));
                kinds.extend(
                    named
                        .filter_map(|resource| crate::find(group, version, resource))
                        .map(|kind| (kind.group, kind.version, kind.resource)),
                );
            }
        }
    }
    let found = kinds.into_iter().filter_map(|(group, version, resource)| crate::find(group, version, resource));
    found.take(KINDS_MAX).collect()
}

/// What the policy's expressions see where the object is of this kind.
fn typed(policy: &Object, kind: &KindDef) -> Option<Environment> {
    let object = Arc::new(shape_of(kind)?);
    let params = policy.map(&["spec", "paramKind"]);
    let offered = Offered { params: params.is_some(), authorizer: true, ..Offered::default() };
    let mut environment = environment(offered).with_shape("object", object.clone()).with_shape("oldObject", object);
    if let Some(shape) = params.and_then(|_| of_params(policy)) {
        environment = environment.with_shape("params", Arc::new(shape));
    }
    let mut environment = with_variables(environment);
    for variable in policy.list(&["spec", "variables"]) {
        let found = environment.compile(str_of(variable, "expression"));
        let of = found.map_or(Type::Dyn, |program| program.result().clone());
        environment.add_field(VARIABLES, str_of(variable, "name"), of);
    }
    Some(environment)
}

fn of_params(policy: &Object) -> Option<Shape> {
    let text = |field| policy.str(&["spec", "paramKind", field]);
    let GroupVersion { group, version } = GroupVersion::parse(text("apiVersion"));
    shape_of(crate::by_gvk(&GroupVersionKind::new(group, version, text("kind")))?)
}

/// The shape of a built-in kind's objects.
fn shape_of(kind: &KindDef) -> Option<Shape> {
    let message = schema::message(kind.schema)?;
    let mut shapes = fields(message, kind.kind, &mut Vec::new());
    for field in ["apiVersion", "kind"] {
        if !shapes.iter().any(|(name, _)| *name == field) {
            shapes.push((field, Shape::of(Form::String)));
        }
    }
    Some(Shape::object(kind.kind, shapes))
}

/// The fields of a message; `name` is that of its type, `around` are the messages that it lies in.
fn fields(message: &'static Message, name: &str, around: &mut Vec<&'static str>) -> Vec<(&'static str, Shape)> {
    around.push(message.name);
    let field = |field: &schema::Field| {
        let inner = value(field.of, &format!("{name}.{}", field.json), around);
        let shape = match field.shape {
            schema::Shape::One => inner,
            schema::Shape::List => Shape::of(Form::List(Arc::new(inner), Merge::Atomic)),
            schema::Shape::Map => Shape::of(Form::Map(Arc::new(inner))),
        };
        (field.json, shape)
    };
    let fields = message.fields.iter().map(field).collect();
    around.pop();
    fields
}

/// What may hold different things, or itself, is not looked into.
fn value(of: schema::Type, name: &str, around: &mut Vec<&'static str>) -> Shape {
    match of {
        schema::Type::String => Shape::of(Form::String),
        schema::Type::Bytes => Shape::of(Form::Bytes),
        schema::Type::Bool => Shape::of(Form::Bool),
        schema::Type::Int32 | schema::Type::Int64 => Shape::of(Form::Int),
        schema::Type::Double => Shape::of(Form::Double),
        schema::Type::Time | schema::Type::MicroTime => Shape::of(Form::DateTime),
        schema::Type::Strings => Shape::of(Form::List(Arc::new(Shape::of(Form::String)), Merge::Atomic)),
        schema::Type::Message(message) if !around.contains(&message.name) => {
            Shape::object(name, fields(message, name, around))
        }
        _ => Shape::of(Form::Dyn),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn warnings(resources: &[&str], more: Value) -> Vec<(String, String)> {
        let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": resources});
        let mut spec = json!({"matchConstraints": {"resourceRules": [rule]}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let policy = Object::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        type_check(&policy).into_iter().map(|warning| (warning.field, warning.text)).collect()
    }

    #[test]
    fn expressions_are_held_to_the_types_of_what_a_policy_is_about() {
        let validation = |expression: &str| json!({"validations": [{"expression": expression}]});
        for (expression, fits) in [
            ("object.spec.replicas > 1", true),
            ("object.spec.template.spec.containers.all(c, c.image.startsWith('a'))", true),
            ("object.metadata.labels['a'] == 'b' && oldObject == null", true),
            ("object.metadata.creationTimestamp.getFullYear() > 2000", true),
            ("object.spec.strategy.rollingUpdate.maxSurge == '25%'", true),
            ("object.replicas > 1", false),
            ("object.spec.replicas == 'x'", false),
        ] {
            let found = warnings(&["deployments"], validation(expression));
            assert_eq!(found.is_empty(), fits, "{expression}: {found:?}");
        }
        let found = warnings(&["deployments"], validation("object.replicas > 1"));
        let text = "apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:7: undefined field 'replicas'\n | \
                    object.replicas > 1\n | ......^\n";
        assert_eq!(found, [("spec.validations[0].expression".to_owned(), text.to_owned())]);
    }

    #[test]
    fn variables_parameters_and_several_kinds_are_told_apart() {
        let more = json!({
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "variables": [{"name": "image", "expression": "object.spec.template.spec.containers[0].image"}],
            "validations": [
                {"expression": "variables.image == params.data.image"},
                {"expression": "variables.image > 1", "messageExpression": "params.metadata.none"},
            ],
        });
        let found = warnings(&["deployments", "statefulsets", "deployments/scale", "*"], more);
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["spec.validations[1].expression", "spec.validations[1].messageExpression"]);
        assert!(found[0].1.contains("Kind=Deployment") && found[0].1.contains("Kind=StatefulSet"));
    }
}
