//! Expressions on a SubjectAccessReview: which of them a webhook is asked. (upstream: apiserver/pkg/authorization/cel)

use std::sync::Arc;

use expression::{Environment, Form, MATCH_CONDITIONS_BUDGET, Merge, Program, Shape, Type, Value as Cel};
use machinery::field::{Error, ErrorList, Path};
use serde_json::{Value, json};

const CONDITIONS_MAX: usize = 64;

/// All must hold.
#[derive(Default)]
pub struct Conditions(Vec<(String, Program)>);

impl Conditions {
    /// Those that compile; `errors` says what is wrong with the others.
    pub(super) fn compile(expressions: &[&str], path: &Path, errors: &mut ErrorList) -> Self {
        if expressions.len() > CONDITIONS_MAX {
            errors.push(Error::too_many(path, expressions.len(), CONDITIONS_MAX));
            return Self::default();
        }
        let environment = Environment::new().with_shape("request", shape());
        let mut programs = Vec::new();
        for (at, text) in expressions.iter().enumerate() {
            let path = path.index(at).child("expression");
            if text.trim().is_empty() {
                errors.push(Error::required(&path, ""));
            } else if expressions[..at].contains(text) {
                errors.push(Error::duplicate(&path, *text));
            } else {
                match environment.compile(text) {
                    Err(error) => errors.push(Error::invalid(&path, *text, format!("compilation failed: {error}"))),
                    Ok(program) if *program.result() != Type::Bool => {
                        let why = format!("must evaluate to bool but got {}", program.result());
                        errors.push(Error::invalid(&path, *text, why));
                    }
                    Ok(program) => programs.push(((*text).to_owned(), program)),
                }
            }
        }
        Self(programs)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold for the spec of a review. One that does not hold outweighs those that fail.
    pub fn hold(&self, spec: &Value) -> Result<bool, String> {
        if self.is_empty() {
            return Ok(true);
        }
        let (spec, shape) = (complete(spec), shape());
        let mut failures = Vec::new();
        for (text, program) in &self.0 {
            let failed = |error| format!("cel evaluation error: expression '{text}' resulted in error: {error}");
            let request = Cel::new(&spec, &shape).map_err(failed)?;
            match program.evaluate(&[("request", request)], MATCH_CONDITIONS_BUDGET).value {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => return Ok(false),
                Err(error) => failures.push(failed(error)),
            }
        }
        crate::authz::rbac::aggregate(&failures).map_or(Ok(true), Err)
    }
}

/// With all texts of the user and of the resource, empty ones too.
fn complete(spec: &Value) -> Value {
    let mut complete = json!({"user": "", "uid": "", "groups": [], "extra": {}});
    let fields = complete.as_object_mut().expect("the literal is an object");
    fields.extend(spec.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    if let Some(resource) = fields.get_mut("resourceAttributes").and_then(Value::as_object_mut) {
        for field in ["namespace", "verb", "group", "version", "resource", "subresource", "name"] {
            resource.entry(field).or_insert_with(|| json!(""));
        }
    }
    complete
}

fn shape() -> Arc<Shape> {
    let text = || Shape::of(Form::String);
    let list = |of: Shape| Shape::of(Form::List(Arc::new(of), Merge::Atomic));
    let texts = || list(text());
    let requirement = || {
        let fields = [("key", text()), ("operator", text()), ("values", texts())];
        Shape::object("kubernetes.SelectorRequirement", fields)
    };
    let selector = |name: &str| Shape::object(name, [("rawSelector", text()), ("requirements", list(requirement()))]);
    let resource = ["namespace", "verb", "group", "version", "resource", "subresource", "name"];
    let resource = resource.map(|field| (field, text())).into_iter().chain([
        ("fieldSelector", selector("kubernetes.FieldSelectorAttributes")),
        ("labelSelector", selector("kubernetes.LabelSelectorAttributes")),
    ]);
    let path = [("path", text()), ("verb", text())];
    Arc::new(Shape::object(
        "kubernetes.SubjectAccessReviewSpec",
        [
            ("resourceAttributes", Shape::object("kubernetes.ResourceAttributes", resource)),
            ("nonResourceAttributes", Shape::object("kubernetes.NonResourceAttributes", path)),
            ("user", text()),
            ("uid", text()),
            ("groups", texts()),
            ("extra", Shape::of(Form::Map(Arc::new(texts())))),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(expressions: &[&str], spec: Value) -> Result<bool, String> {
        let mut errors = Vec::new();
        let conditions = Conditions::compile(expressions, &Path::new("matchConditions"), &mut errors);
        assert_eq!(errors, []);
        conditions.hold(&spec)
    }

    #[test]
    fn a_review_is_matched_by_all_conditions() {
        let pods = json!({"user": "jane", "groups": ["dev"], "resourceAttributes": {"verb": "list", "resource": "pods",
            "fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}}});
        for (expressions, expected) in [
            (&["request.user == 'jane'", "'dev' in request.groups"][..], Ok(true)),
            (&["request.user == 'jane'", "request.user == 'jim'"], Ok(false)),
            (&["has(request.resourceAttributes)"], Ok(true)),
            (&["has(request.nonResourceAttributes)"], Ok(false)),
            (&["request.resourceAttributes.subresource == ''"], Ok(true)),
            (&["request.resourceAttributes.fieldSelector.requirements.exists(r, r.key == 'spec.nodeName')"], Ok(true)),
            (&["has(request.resourceAttributes.labelSelector)"], Ok(false)),
            (&["request.nonResourceAttributes.path == '/'", "request.user == 'jim'"], Ok(false)),
            (
                &["request.nonResourceAttributes.path == '/'"],
                Err("cel evaluation error: expression 'request.nonResourceAttributes.path == '/'' resulted in error: \
                     no such key: nonResourceAttributes"),
            ),
        ] {
            assert_eq!(holds(expressions, pods.clone()), expected.map_err(str::to_owned), "{expressions:?}");
        }
    }
}
