//! Whether the expressions of a policy fit the types of what it is about. What does not is told in the policy's
//! status, and changes nothing of what the policy does.
//!
//! upstream: apiserver/pkg/admission/plugin/policy/validating/typechecking.go

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use expression::{CompileError, Environment, Form, Merge, Shape, Type};
use machinery::{GroupVersion, GroupVersionKind, Object};
use schema::Message;
use serde_json::Value;

use super::expressions::{Offered, VARIABLES, environment, with_variables};
use crate::def::KindDef;
use crate::tree::{list_of, str_of};

/// Kinds of one rule that are looked at; a rule that names so many is the last one.
const KINDS_MAX: usize = 10;
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// An expression that does not fit, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionWarning {
    /// `spec.validations[0].expression`
    pub field: String,
    pub text: String,
}

/// Kinds that a policy may be about: those that are built in, and custom ones.
#[derive(Clone, Copy)]
struct Kinds<'a>(&'a [&'static KindDef]);

impl Kinds<'_> {
    fn find(self, group: &str, version: &str, resource: &str) -> Option<&'static KindDef> {
        let own = || self.0.iter().find(|kind| (kind.group, kind.version, kind.resource) == (group, version, resource));
        crate::find(group, version, resource).or_else(|| own().copied())
    }

    fn by_gvk(self, gvk: &GroupVersionKind) -> Option<&'static KindDef> {
        crate::by_gvk(gvk).or_else(|| self.0.iter().find(|kind| kind.gvk() == *gvk).copied())
    }
}

/// Looks at the validations of a policy and at their messages. Kinds that are neither built in nor among the `custom`
/// ones are passed over.
pub fn type_check(policy: &Object, custom: &[&'static KindDef]) -> Vec<ExpressionWarning> {
    let kinds = Kinds(custom);
    let environments: Vec<(GroupVersionKind, Environment)> = kinds_of(policy, kinds)
        .into_iter()
        .filter_map(|kind| Some((kind.gvk(), typed(policy, kind, kinds)?)))
        .collect();
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

/// Whether a policy may be about this custom resource, or take its objects as parameters.
pub fn concerns(policy: &Object, group: &str, resource: &str, kind: &str) -> bool {
    let (of_params, _) = params_of(policy);
    (of_params.group, of_params.kind) == (group.to_owned(), kind.to_owned())
        || policy.list(&["spec", "matchConstraints", "resourceRules"]).iter().any(|rule| {
            let names = |field: &str, name: &str| list_of(rule, field).iter().any(|named| named == name);
            names("apiGroups", group) && names("resources", resource)
        })
}

fn fault(gvk: &GroupVersionKind, environment: &Environment, text: &str) -> Option<String> {
    match environment.compile(text) {
        Ok(_) => None,
        Err(CompileError::Invalid(issues)) => Some(format!("{gvk}: {issues}\n")),
        Err(CompileError::Program(why)) => Some(format!("{gvk}: type checking error: {why}\n")),
    }
}

/// What rules name without wildcards.
fn kinds_of(policy: &Object, known: Kinds<'_>) -> Vec<&'static KindDef> {
    let mut kinds: BTreeMap<(&str, &str, &str), &'static KindDef> = BTreeMap::new();
    for rule in policy.list(&["spec", "matchConstraints", "resourceRules"]) {
        let texts = |field: &str| list_of(rule, field).iter().filter_map(Value::as_str).collect::<BTreeSet<_>>();
        let (groups, versions, resources) = (texts("apiGroups"), texts("apiVersions"), texts("resources"));
        if groups.iter().chain(&versions).any(|text| text.contains('*')) {
            continue;
        }
        let places = groups.iter().flat_map(|group| versions.iter().map(move |version| (group, version)));
        let named = places.flat_map(|(group, version)| {
            let resources = resources.iter().filter(|resource| !resource.contains(['*', '/']));
            resources.filter_map(move |resource| known.find(group, version, resource))
        });
        let found: Vec<&'static KindDef> = named.take(KINDS_MAX).collect();
        kinds.extend(found.iter().map(|kind| ((kind.group, kind.version, kind.kind), *kind)));
        if found.len() == KINDS_MAX {
            break;
        }
    }
    kinds.into_values().collect()
}

/// What the policy's expressions see where the object is of this kind.
fn typed(policy: &Object, kind: &KindDef, known: Kinds<'_>) -> Option<Environment> {
    let object = Arc::new(shape_of(kind)?);
    let (of_params, params) = params_of(policy);
    let offered = Offered { params, authorizer: true, ..Offered::default() };
    let mut environment = environment(offered).with_shape("object", object.clone()).with_shape("oldObject", object);
    if let Some(shape) = known.by_gvk(&of_params).and_then(shape_of) {
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

/// The kind of the parameters, and whether there are any.
fn params_of(policy: &Object) -> (GroupVersionKind, bool) {
    let text = |field| policy.str(&["spec", "paramKind", field]);
    let GroupVersion { group, version } = GroupVersion::parse(text("apiVersion"));
    (GroupVersionKind::new(group, version, text("kind")), policy.map(&["spec", "paramKind"]).is_some())
}

/// The shape of a kind's objects.
fn shape_of(kind: &KindDef) -> Option<Shape> {
    if let Some(custom) = kind.custom {
        let schema = custom.content().source();
        let mut shape = Shape::from_schema(&schema, kind.kind, true)?;
        complete(&mut shape, &schema, true);
        return Some(shape);
    }
    let message = schema::message(kind.schema)?;
    let mut shapes = fields(message, kind.kind, &mut Vec::new());
    for field in ["apiVersion", "kind"] {
        if !shapes.iter().any(|(name, _)| *name == field) {
            shapes.push((field, Shape::of(Form::String)));
        }
    }
    Some(Shape::object(kind.kind, shapes))
}

/// Resources of a structural schema, and those within them, have all metadata, not only what their own rules see.
fn complete(shape: &mut Shape, schema: &Value, resource: bool) {
    let within = |shape: &mut Arc<Shape>, schema: &Value| {
        complete(Arc::make_mut(shape), schema, schema["x-kubernetes-embedded-resource"] == true);
    };
    match &mut shape.form {
        Form::List(items, _) => within(items, &schema["items"]),
        Form::Map(values) => within(values, &schema["additionalProperties"]),
        Form::Object(object) => {
            object.fields.values_mut().for_each(|field| within(&mut field.shape, &schema["properties"][&field.name]));
            if let Some(metadata) = object.fields.get_mut("metadata").filter(|_| resource) {
                let message = schema::message(METADATA).expect("the table has all messages of apimachinery");
                let name = format!("{}.metadata", object.name);
                metadata.shape = Arc::new(Shape::object(&name, fields(message, &name, &mut Vec::new())));
            }
        }
        _ => {}
    }
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

    fn warnings_about(rules: Value, more: Value, custom: &[&'static KindDef]) -> Vec<(String, String)> {
        let mut spec = json!({"matchConstraints": {"resourceRules": rules}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let policy = Object::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        type_check(&policy, custom).into_iter().map(|warning| (warning.field, warning.text)).collect()
    }

    fn rule(group: &str, versions: &[&str], resources: &[&str]) -> Value {
        json!({"apiGroups": [group], "apiVersions": versions, "operations": ["*"], "resources": resources})
    }

    fn warnings(resources: &[&str], more: Value) -> Vec<(String, String)> {
        warnings_about(json!([rule("apps", &["v1"], resources)]), more, &[])
    }

    #[test]
    fn expressions_are_held_to_the_types_of_what_a_policy_is_about() {
        let validation = |expression: &str| json!({"validations": [{"expression": expression}]});
        for (expression, why) in [
            ("object.spec.replicas > 1", ""),
            ("object.spec.template.spec.containers.all(c, c.image.startsWith('a'))", ""),
            ("object.metadata.labels['a'] == 'b' && oldObject == null", ""),
            ("object.metadata.creationTimestamp.getFullYear() > 2000", ""),
            ("object.spec.strategy.rollingUpdate.maxSurge == '25%'", ""),
            ("authorizer.group('').resource('endpoints').check('create').allowed()", ""),
            ("object.replicas > 1", "undefined field 'replicas'"),
            ("object.spec.replicas == 'x'", "found no matching overload for '_==_'"),
            ("variables.none", "undefined field 'none'"),
            ("params.a == 'b'", "undeclared reference to 'params'"),
            (
                "authorizer.allowed()",
                "found no matching overload for 'allowed' applied to 'kubernetes.authorization.Authorizer",
            ),
        ] {
            let found = warnings(&["deployments"], validation(expression));
            match found.as_slice() {
                [] => assert_eq!(why, "", "{expression}"),
                [(field, text)] => {
                    assert_eq!(field, "spec.validations[0].expression");
                    assert!(!why.is_empty() && text.contains(why), "{expression}: {text}");
                }
                several => panic!("{several:?}"),
            }
        }
        let found = warnings(&["deployments"], validation("object.replicas > 1"));
        let text = "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | \
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
        let found = warnings(&["statefulsets", "deployments", "deployments/scale", "*"], more);
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["spec.validations[1].expression", "spec.validations[1].messageExpression"]);
        let [deployment, set] = ["Deployment", "StatefulSet"].map(|kind| found[0].1.find(&format!("Kind={kind}: ")));
        assert!(deployment.is_some() && deployment < set, "{}", found[0].1);
        let strange = json!({
            "paramKind": {"apiVersion": "none.io/v1", "kind": "None"},
            "validations": [{"expression": "params.anything == 'x' && object.spec.replicas > 1"}],
        });
        assert_eq!(warnings(&["deployments"], strange), []);
    }

    #[test]
    fn wildcards_and_more_than_ten_kinds_are_passed_over() {
        let wrong = json!({"validations": [{"expression": "object.none == 1"}]});
        let core = ["bindings", "configmaps", "endpoints", "events", "limitranges", "namespaces", "nodes"];
        let more = ["persistentvolumeclaims", "persistentvolumes", "pods", "secrets", "services"];
        let kinds = |rules: Value| {
            let found = warnings_about(rules, wrong.clone(), &[]);
            found.first().map_or(0, |(_, text)| text.matches("undefined field").count())
        };
        let all = [&core[..], &more[..]].concat();
        for (rules, expected) in [
            (json!([]), 0),
            (json!([rule("", &["v1"], &["*"])]), 0),
            (json!([rule("", &["*"], &["pods"])]), 0),
            (json!([rule("*", &["v1"], &["pods"])]), 0),
            (json!([rule("", &["v1"], &["pods/*", "pods/status"])]), 0),
            (json!([rule("", &["v1"], &["pods"]), rule("", &["*"], &["pods"])]), 1),
            (json!([rule("", &["v1"], &["pods", "services"]), rule("apps", &["v1"], &["deployments"])]), 3),
            (json!([rule("", &["v1"], &all)]), 10),
            (json!([rule("", &["v1"], &all), rule("apps", &["v1"], &["deployments"])]), 10),
            (json!([rule("", &["v1"], &more), rule("", &["v1"], &core)]), 12),
        ] {
            assert_eq!(kinds(rules.clone()), expected, "{rules}");
        }
    }

    #[test]
    fn custom_resources_are_held_to_their_schemas() {
        let text = json!({"type": "string"});
        let of = |properties: Value| json!({"type": "object", "properties": properties});
        let embedded = json!({
            "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
        });
        let schema = of(json!({
            "spec": of(json!({
                "text": text, "size": {"type": "integer"}, "port": {"x-kubernetes-int-or-string": true},
                "until": {"type": "string", "format": "date-time"}, "template": embedded,
                "tags": {"type": "array", "items": text}, "by": {"type": "object", "additionalProperties": {"type": "integer"}},
            })),
            "status": of(json!({"any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}})),
        }));
        let definition = Object::from_value(json!({
            "metadata": {"name": "reproducers.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": "reproducers", "kind": "Reproducer"},
                "versions": [
                    {"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}},
                    {"name": "v1", "served": false, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}},
                ],
            },
        }))
        .unwrap();
        let custom = &crate::custom::family(&definition).served;
        let rules = json!([rule("example.com", &["v1", "v1alpha1"], &["reproducers"])]);
        let found = |expression: &str| {
            let more = json!({
                "paramKind": {"apiVersion": "example.com/v1alpha1", "kind": "Reproducer"},
                "validations": [{"expression": expression}],
            });
            warnings_about(rules.clone(), more, custom)
        };
        for (expression, why) in [
            ("has(object.spec.text) && object.spec.size > 1", ""),
            ("object.spec.port == 'http' || object.spec.port == 80", ""),
            ("object.spec.until > timestamp('2020-01-01T00:00:00Z')", ""),
            ("object.spec.tags.all(t, t.startsWith('a')) && object.spec.by['x'] == 1", ""),
            ("object.metadata.labels['a'] == 'b' && object.kind == 'Reproducer'", ""),
            ("object.spec.template.metadata.annotations['a'] == 'b'", ""),
            ("params.spec.text == oldObject.spec.text", ""),
            (
                "object.spec.none == 1",
                "example.com/v1alpha1, Kind=Reproducer: ERROR: <input>:1:12: undefined field 'none'",
            ),
            ("object.spec.size == 'x'", "found no matching overload for '_==_' applied to '(int, string)'"),
            ("object.status.any.thing == 1", "undefined field 'thing'"),
            ("object.metadata.none == 'x'", "undefined field 'none'"),
            ("params.spec.none == 'x'", "undefined field 'none'"),
        ] {
            match found(expression).as_slice() {
                [] => assert_eq!(why, "", "{expression}"),
                [(_, text)] => assert!(!why.is_empty() && text.contains(why), "{expression}: {text}"),
                several => panic!("{several:?}"),
            }
        }
        let policy = Object::from_value(json!({"spec": {
            "matchConstraints": {"resourceRules": rules}, "paramKind": {"apiVersion": "a.io/v1", "kind": "A"},
        }}))
        .unwrap();
        assert!(concerns(&policy, "example.com", "reproducers", "Reproducer") && concerns(&policy, "a.io", "as", "A"));
        assert!(!concerns(&policy, "example.com", "others", "Other") && !concerns(&policy, "a.io", "bs", "B"));
    }
}
