//! Asking the authorizer: `authorizer.group('apps').resource('deployments').check('create').allowed()`.

use std::sync::Arc;

use machinery::validation;

use crate::declarations::Declaration;
use crate::error::Error;
use crate::meter::Meter;
use crate::value::{Foreign, Value};

pub const LIBRARY: &[Declaration] = &[
    ("authorizer_path kubernetes.authorization.Authorizer:path(string) -> kubernetes.authorization.PathCheck", path),
    (
        "authorizer_group kubernetes.authorization.Authorizer:group(string) -> kubernetes.authorization.GroupCheck",
        group,
    ),
    (
        "authorizer_serviceaccount kubernetes.authorization.Authorizer:serviceAccount(string, string) -> \
         kubernetes.authorization.Authorizer",
        service_account,
    ),
    (
        "groupcheck_resource kubernetes.authorization.GroupCheck:resource(string) -> \
         kubernetes.authorization.ResourceCheck",
        resource,
    ),
    (
        "resourcecheck_subresource kubernetes.authorization.ResourceCheck:subresource(string) -> \
         kubernetes.authorization.ResourceCheck",
        subresource,
    ),
    (
        "resourcecheck_namespace kubernetes.authorization.ResourceCheck:namespace(string) -> \
         kubernetes.authorization.ResourceCheck",
        namespace,
    ),
    (
        "resourcecheck_name kubernetes.authorization.ResourceCheck:name(string) -> \
         kubernetes.authorization.ResourceCheck",
        name,
    ),
    (
        "authorizer_fieldselector kubernetes.authorization.ResourceCheck:fieldSelector(string) -> \
         kubernetes.authorization.ResourceCheck",
        field_selector,
    ),
    (
        "authorizer_labelselector kubernetes.authorization.ResourceCheck:labelSelector(string) -> \
         kubernetes.authorization.ResourceCheck",
        label_selector,
    ),
    ("pathcheck_check kubernetes.authorization.PathCheck:check(string) -> kubernetes.authorization.Decision", check),
    (
        "resourcecheck_check kubernetes.authorization.ResourceCheck:check(string) -> \
         kubernetes.authorization.Decision",
        check,
    ),
    ("decision_allowed kubernetes.authorization.Decision:allowed() -> bool", allowed),
    ("decision_reason kubernetes.authorization.Decision:reason() -> string", reason),
    ("decision_errored kubernetes.authorization.Decision:errored() -> bool", errored),
    ("decision_error kubernetes.authorization.Decision:error() -> string", error),
];

/// Decides whether something may be done. It knows the user of the request.
pub trait Authorizer: std::fmt::Debug + Send + Sync + 'static {
    fn authorize(&self, attributes: &Attributes) -> Decision;
}

/// What is asked about: a resource, unless there is a path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes {
    /// Namespace and name, where not the user of the request is meant.
    pub service_account: Option<(String, String)>,
    pub verb: String,
    pub path: Option<String>,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}

/// The value of the variable `authorizer`.
pub fn authorizer(authorizer: Arc<dyn Authorizer>) -> Value<'static> {
    Value::foreign(Check { stage: Stage::Authorizer, authorizer, attributes: Attributes::default() })
}

/// The value of `authorizer.requestResource`: a check of the resource in `attributes`.
pub fn resource_check(authorizer: Arc<dyn Authorizer>, attributes: Attributes) -> Value<'static> {
    Value::foreign(Check { stage: Stage::Resource, authorizer, attributes })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
}

/// A question in the making.
#[derive(Clone, Debug)]
struct Check {
    stage: Stage,
    authorizer: Arc<dyn Authorizer>,
    attributes: Attributes,
}

impl Foreign for Check {
    fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Authorizer => "kubernetes.authorization.Authorizer",
            Stage::Path => "kubernetes.authorization.PathCheck",
            Stage::Group => "kubernetes.authorization.GroupCheck",
            Stage::Resource => "kubernetes.authorization.ResourceCheck",
        }
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        (other as &dyn std::any::Any)
            .downcast_ref::<Self>()
            .is_some_and(|other| self.stage == other.stage && self.attributes == other.attributes)
    }
}

impl Foreign for Decision {
    fn type_name(&self) -> &'static str {
        "kubernetes.authorization.Decision"
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        (other as &dyn std::any::Any).downcast_ref() == Some(self)
    }
}

type Outcome<'a> = Result<Value<'a>, Error>;

/// The check that `values` begin with, one stage on and changed by the text behind it.
fn changed<'a>(values: &[Value<'a>], stage: Stage, change: impl Fn(&mut Attributes, String)) -> Outcome<'a> {
    let [check, Value::String(text)] = values else { return Err(Error::NoOverload) };
    let mut check = check.downcast::<Check>().ok_or(Error::NoOverload)?.clone();
    check.stage = stage;
    change(&mut check.attributes, text.to_string());
    Ok(Value::foreign(check))
}

fn is_blank(values: &[Value<'_>]) -> bool {
    values[1].as_str().is_some_and(|text| text.trim().is_empty())
}

fn path<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    if is_blank(values) {
        return Err(Error::failed("path must not be empty"));
    }
    changed(values, Stage::Path, |attributes, text| attributes.path = Some(text))
}

fn group<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, Stage::Group, |attributes, text| attributes.group = text)
}

fn service_account<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [check, Value::String(namespace), Value::String(name)] = values else { return Err(Error::NoOverload) };
    if !validation::dns1123_subdomain(name).is_empty() {
        return Err(Error::failed("Invalid service account name"));
    }
    if !validation::dns1123_label(namespace).is_empty() {
        return Err(Error::failed("Invalid service account namespace"));
    }
    let mut check = check.downcast::<Check>().ok_or(Error::NoOverload)?.clone();
    check.attributes.service_account = Some((namespace.to_string(), name.to_string()));
    Ok(Value::foreign(check))
}

fn resource<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    if is_blank(values) {
        return Err(Error::failed("resource must not be empty"));
    }
    changed(values, Stage::Resource, |attributes, text| attributes.resource = text)
}

fn subresource<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, Stage::Resource, |attributes, text| attributes.subresource = text)
}

fn namespace<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, Stage::Resource, |attributes, text| attributes.namespace = text)
}

fn name<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, Stage::Resource, |attributes, text| attributes.name = text)
}

fn field_selector<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, Stage::Resource, |attributes, text| attributes.field_selector = text)
}

fn label_selector<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    changed(values, Stage::Resource, |attributes, text| attributes.label_selector = text)
}

fn check<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [check, Value::String(verb)] = values else { return Err(Error::NoOverload) };
    let check = check.downcast::<Check>().ok_or(Error::NoOverload)?;
    if !matches!(check.stage, Stage::Path | Stage::Resource) {
        return Err(Error::NoOverload);
    }
    let attributes = Attributes { verb: verb.to_string(), ..check.attributes.clone() };
    Ok(Value::foreign(check.authorizer.authorize(&attributes)))
}

fn decided<'a, T: Into<Value<'a>>>(values: &[Value<'a>], of: impl Fn(&Decision) -> T) -> Outcome<'a> {
    values[0].downcast().map(|decision| of(decision).into()).ok_or(Error::NoOverload)
}

fn allowed<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    decided(values, |decision| decision.allowed)
}

fn reason<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    decided(values, |decision| decision.reason.clone())
}

fn errored<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    decided(values, |decision| decision.error.is_some())
}

fn error<'a>(_: &Meter, values: &[Value<'a>]) -> Outcome<'a> {
    decided(values, |decision| decision.error.clone().unwrap_or_default())
}
