//! The expressions in policies and match conditions: what they may refer to, and whether they compile.
//!
//! upstream: apiserver's pkg/admission/plugin/cel

use std::sync::{Arc, LazyLock};

use expression::{CompileError, Environment, Form, Shape, Type, Value};
use machinery::field::Error;
use serde_json::Value as Json;

use crate::check::At;

/// What an expression of an admission may look at besides the objects and the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offered {
    pub params: bool,
    pub authorizer: bool,
    /// `Object{}` and `JSONPatch{}`.
    pub patches: bool,
}

static REQUEST: LazyLock<Arc<Shape>> = LazyLock::new(|| Arc::new(request()));
static NAMESPACE: LazyLock<Arc<Shape>> = LazyLock::new(|| Arc::new(namespace()));

/// The variables of an admission. The types of its objects are not known here.
pub fn environment(offered: Offered) -> Environment {
    let mut environment = Environment::new()
        .with_variable("object", Type::Dyn)
        .with_variable("oldObject", Type::Dyn)
        .with_shape("namespaceObject", NAMESPACE.clone())
        .with_shape("request", REQUEST.clone());
    if offered.params {
        environment = environment.with_variable("params", Type::Dyn);
    }
    if offered.authorizer {
        environment = environment
            .with_variable("authorizer", Type::object("kubernetes.authorization.Authorizer"))
            .with_variable("authorizer.requestResource", Type::object("kubernetes.authorization.ResourceCheck"));
    }
    if offered.patches {
        environment = environment.with_mutation();
    }
    environment
}

/// The value of `request`: `json` is an AdmissionRequest.
pub fn request_value(json: &Json) -> Result<Value<'_>, expression::Error> {
    Value::new(json, &REQUEST)
}

/// The value of `namespaceObject`: `json` is a Namespace.
pub fn namespace_value(json: &Json) -> Result<Value<'_>, expression::Error> {
    Value::new(json, &NAMESPACE)
}

/// The object whose fields are the variables that a policy defines.
pub const VARIABLES: &str = "variables";

/// The same environment with that object, which has no fields yet.
pub fn with_variables(environment: Environment) -> Environment {
    environment.with_shape(VARIABLES, Arc::new(Shape::object::<&str>("kubernetes.variables", [])))
}

/// The type of the expression, or what upstream says of one that does not compile or is of none of the `wanted` types.
/// No wanted type means any.
pub fn check(environment: &Environment, at: &At, text: &str, wanted: &[Type]) -> Result<Type, Error> {
    let invalid = |detail: String| Error::invalid(&at.path, text, detail);
    let program = environment.compile(text).map_err(|error| match error {
        CompileError::Invalid(issues) => invalid(format!("compilation failed: {issues}")),
        CompileError::Program(reason) => Error::internal(&at.path, format!("program instantiation failed: {reason}")),
    })?;
    let found = program.result();
    let names: Vec<String> = wanted.iter().map(name).collect();
    match names.as_slice() {
        _ if wanted.is_empty() || wanted.contains(found) => Ok(found.clone()),
        [one] => Err(invalid(format!("must evaluate to {one} but got {}", name(found)))),
        several => Err(invalid(format!("must evaluate to one of [{}] but got {}", several.join(" "), name(found)))),
    }
}

/// Here types are called as they are declared, not as the checker prints them.
fn name(of: &Type) -> String {
    if of.parameters().is_empty() { of.name().to_owned() } else { of.to_string() }
}

fn strings<'a>(names: &'a [&'a str]) -> impl Iterator<Item = (&'a str, Shape)> {
    names.iter().map(|name| (*name, Shape::of(Form::String)))
}

fn list(items: Shape) -> Shape {
    Shape::of(Form::List(Arc::new(items), expression::Merge::Atomic))
}

fn map(values: Shape) -> Shape {
    Shape::of(Form::Map(Arc::new(values)))
}

fn string() -> Shape {
    Shape::of(Form::String)
}

/// An AdmissionRequest; its objects and its uid are not part of it.
fn request() -> Shape {
    let kind = || Shape::object("kubernetes.GroupVersionKind", strings(&["group", "version", "kind"]));
    let resource = || Shape::object("kubernetes.GroupVersionResource", strings(&["group", "version", "resource"]));
    let lists = [("groups", list(string())), ("extra", map(list(string())))];
    let user = Shape::object("kubernetes.UserInfo", strings(&["username", "uid"]).chain(lists));
    let texts = ["subResource", "requestSubResource", "name", "namespace", "operation"];
    let others = [
        ("kind", kind()),
        ("resource", resource()),
        ("requestKind", kind()),
        ("requestResource", resource()),
        ("userInfo", user),
        ("dryRun", Shape::of(Form::Bool)),
        ("options", Shape::of(Form::Dyn)),
    ];
    Shape::object("kubernetes.AdmissionRequest", strings(&texts).chain(others))
}

/// A Namespace without its owners and managers.
fn namespace() -> Shape {
    let time = || Shape::of(Form::DateTime);
    let texts = ["name", "generateName", "namespace", "UID", "resourceVersion"];
    let others = [
        ("labels", map(string())),
        ("annotations", map(string())),
        ("creationTimestamp", time()),
        ("deletionTimestamp", time()),
        ("deletionGracePeriodSeconds", Shape::of(Form::Int)),
        ("generation", Shape::of(Form::Int)),
        ("finalizers", list(string())),
    ];
    let metadata = Shape::object("kubernetes.NamespaceMetadata", strings(&texts).chain(others));
    let spec = Shape::object("kubernetes.NamespaceSpec", [("finalizers", list(string()))]);
    let said = strings(&["status", "type", "message", "reason"]);
    let condition = Shape::object("kubernetes.NamespaceCondition", said.chain([("lastTransitionTime", time())]));
    let status = Shape::object("kubernetes.NamespaceStatus", [("conditions", list(condition)), ("phase", string())]);
    Shape::object("kubernetes.Namespace", [("metadata", metadata), ("spec", spec), ("status", status)])
}
