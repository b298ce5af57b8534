//! The object that nobody has written anything into, as Go prints it.
//!
//! Its structs that are no pointers are there from the beginning: who fills them does not own them.

use schema::{Field, Message, Shape, Type};
use serde_json::{Map, Value, json};

pub fn empty(message: &Message) -> Map<String, Value> {
    let fields = message.fields.iter().filter_map(|field| Some((field.json.to_owned(), initial(field)?)));
    fields.collect()
}

/// What the field holds before it is written; nothing when it is not there.
fn initial(field: &Field) -> Option<Value> {
    match (field.shape, field.of) {
        (Shape::One, Type::Message(of)) if !field.pointer => Some(Value::Object(empty(of))),
        _ if !field.required && !field.always => None,
        _ if field.pointer => Some(Value::Null),
        (Shape::One, Type::String) => Some(json!("")),
        (Shape::One, Type::Bool) => Some(json!(false)),
        (Shape::One, Type::Int32 | Type::Int64 | Type::Double) => Some(json!(0)),
        _ => Some(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_that_are_no_pointers_are_there_and_lists_that_are_always_shown_are_null() {
        let deployment = empty(schema::message("io.k8s.api.apps.v1.Deployment").unwrap());
        let spec = &deployment["spec"];
        assert_eq!((&spec["strategy"], &spec["selector"]), (&json!({}), &Value::Null));
        assert_eq!(spec["template"]["spec"], json!({"containers": null}));
        assert_eq!(spec.get("replicas"), None);
    }

    #[test]
    fn every_kind_has_an_empty_object() {
        let objects = schema::messages().iter().filter(|message| message.is_object());
        assert!(objects.map(|message| empty(message)).all(|object| object.contains_key("metadata")));
    }
}
