//! Expressions: any text is compiled or refused, and what compiles ends within its budget.
#![no_main]

use std::sync::Arc;

use expression::{Environment, PER_CALL_LIMIT, Shape, Type, Value};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "string"}},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
    });
    let shape = Arc::new(Shape::from_schema(&schema, "Rule", true).expect("the schema has a shape"));
    let environment =
        Environment::new().with_shape("self", shape.clone()).with_variable("object", Type::Dyn).with_bind().with_mutation();
    let Ok(program) = environment.compile(text) else { return };
    let object = json!({"name": "x", "count": 2, "list": ["a", "b"], "map": {"k": 1}});
    let rule = Value::new(&object, &shape).expect("the object has the shape");
    let evaluated = program.evaluate(&[("self", rule), ("object", Value::any(&object))], PER_CALL_LIMIT);
    if let Ok(value) = &evaluated.value {
        assert!(evaluated.cost <= PER_CALL_LIMIT, "{} for {value}", evaluated.cost);
    }
});
