//! Tables of expressions: what they evaluate to, why they are refused or fail, what they cost.

mod budget;
mod costs;
mod language;
mod libraries;
mod properties;
mod refusals;
mod shapes;

use std::sync::Arc;

use expression::{CompileError, Environment, Error, PER_CALL_LIMIT, Program, Shape, Value};
use serde_json::{Value as Json, json};

/// The rule's `self` of most tables.
fn schema() -> Json {
    json!({
        "type": "object",
        "properties": {
            "replicas": {"type": "integer"},
            "maxReplicas": {"type": "integer"},
            "ratio": {"type": "number"},
            "name": {"type": "string", "maxLength": 10},
            "text": {"type": "string"},
            "namespace": {"type": "string"},
            "a-b.c/d__e": {"type": "string"},
            "port": {"x-kubernetes-int-or-string": true},
            "data": {"type": "string", "format": "byte"},
            "since": {"type": "string", "format": "date-time"},
            "day": {"type": "string", "format": "date"},
            "period": {"type": "string", "format": "duration"},
            "enabled": {"type": "boolean"},
            "nothing": {"type": "string", "nullable": true},
            "tags": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 20}},
            "numbers": {"type": "array", "items": {"type": "integer"}},
            "labels": {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "items": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["key"],
                "items": {
                    "type": "object",
                    "required": ["key"],
                    "properties": {"key": {"type": "string"}, "value": {"type": "integer"}},
                },
            },
        },
    })
}

fn object() -> Json {
    json!({
        "replicas": 3,
        "maxReplicas": 5,
        "ratio": 1,
        "name": "web",
        "text": "hello world",
        "namespace": "shop",
        "a-b.c/d__e": "escaped",
        "port": 80,
        "data": "aGVsbG8=",
        "since": "2024-02-29T12:30:45.5Z",
        "day": "2024-02-29",
        "period": "1h30m",
        "enabled": true,
        "nothing": null,
        "tags": ["a", "b", "c"],
        "numbers": [3, 1, 2],
        "labels": {"app": "web", "tier": "front"},
        "set": ["x", "y"],
        "items": [{"key": "one", "value": 1}, {"key": "two", "value": 2}],
    })
}

fn shape() -> Arc<Shape> {
    Arc::new(Shape::from_schema(&schema(), "Rule", false).expect("the schema has a shape"))
}

fn environment() -> Environment {
    Environment::new().with_shape("self", shape()).with_variable("object", expression::Type::Dyn)
}

/// What compiling or evaluating comes to, as text.
fn outcome(program: &Result<Program, CompileError>) -> String {
    let program = match program {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    let (object, shape) = (object(), shape());
    let rule = Value::new(&object, &shape).expect("the object has the shape");
    let evaluated = program.evaluate(&[("self", rule), ("object", Value::any(&object))], PER_CALL_LIMIT);
    match evaluated.value {
        Ok(Value::String(text)) => format!("{:?}", &*text),
        Ok(value) => value.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

/// Each line: an expression and what comes of it.
fn check(table: &[(&str, &str)]) {
    let environment = environment();
    for (expression, expected) in table {
        assert_eq!(outcome(&environment.compile(expression)), *expected, "{expression}");
    }
}

/// The error that evaluating gives.
fn failure(expression: &str) -> Error {
    let program = environment().compile(expression).expect("the expression compiles");
    let object = object();
    let bindings = [("object", Value::any(&object))];
    program.evaluate(&bindings, PER_CALL_LIMIT).value.expect_err("the evaluation fails")
}
