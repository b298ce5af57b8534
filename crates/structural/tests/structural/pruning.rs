use serde_json::{Map, Value, json};
use structural::{Schema, UnknownFields};

use crate::object;

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn pruned(schema: &Value, value: &Value) -> (Value, Vec<String>) {
    let (mut object, mut unknown) = (map(value), UnknownFields::default());
    Schema::root(schema).prune(&mut object, &mut unknown);
    (Value::Object(object), unknown.found)
}

#[test]
fn unknown_fields_go() {
    let known = object(json!({"a": {"type": "string"}}));
    let table = [
        (
            object(json!({})),
            json!({"metadata": {"name": "x"}, "kind": "K", "spec": {}}),
            json!({"metadata": {"name": "x"}, "kind": "K"}),
            vec!["spec"],
        ),
        (
            object(json!({"spec": known})),
            json!({"spec": {"a": "", "b": 1, "kind": 2}}),
            json!({"spec": {"a": ""}}),
            vec!["spec.b", "spec.kind"],
        ),
        (
            object(json!({"l": {"type": "array", "items": known}})),
            json!({"l": [{"a": "", "b": 1}, {"c": 1}]}),
            json!({"l": [{"a": ""}, {}]}),
            vec!["l[0].b", "l[1].c"],
        ),
        (
            object(json!({"m": {"type": "object", "additionalProperties": known}})),
            json!({"m": {"k": {"b": 1}}}),
            json!({"m": {"k": {}}}),
            vec!["m.k.b"],
        ),
        // Unknown fields stay where they may, and known ones within are pruned all the same.
        (
            object(
                json!({"s": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"in": known}}}),
            ),
            json!({"s": {"any": {"x": 1}, "in": {"b": 1}}}),
            json!({"s": {"any": {"x": 1}, "in": {}}}),
            vec!["s.in.b"],
        ),
        (
            object(
                json!({"e": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": known}}}),
            ),
            json!({"e": {"kind": "K", "metadata": {"name": "n"}, "spec": {"b": 1}, "other": 1}}),
            json!({"e": {"kind": "K", "metadata": {"name": "n"}, "spec": {}}}),
            vec!["e.other", "e.spec.b"],
        ),
        (object(json!({"s": {"type": "string"}})), json!({"s": {"x": 1}}), json!({"s": {}}), vec!["s.x"]),
    ];
    for (schema, value, wanted, unknown) in table {
        assert_eq!(pruned(&schema, &value), (wanted, unknown.into_iter().map(str::to_owned).collect()), "{schema}");
    }
}

#[test]
fn defaults_come_where_nothing_is() {
    let inner = json!({"type": "object", "properties": {"x": {"type": "string", "default": "y"}}});
    let mut with_default = inner.clone();
    with_default["default"] = json!({});
    let nullable = json!({"type": "string", "nullable": true, "default": "n"});
    let table = [
        (object(json!({"a": inner})), json!({}), json!({})),
        (object(json!({"a": inner})), json!({"a": {}}), json!({"a": {"x": "y"}})),
        (object(json!({"a": with_default})), json!({}), json!({"a": {"x": "y"}})),
        (object(json!({"a": with_default})), json!({"a": null}), json!({"a": {"x": "y"}})),
        (object(json!({"a": nullable})), json!({"a": null}), json!({"a": null})),
        (object(json!({"a": nullable})), json!({}), json!({"a": "n"})),
        (
            object(json!({"a": {"type": "array", "items": inner}})),
            json!({"a": [{}, {"x": "z"}]}),
            json!({"a": [{"x": "y"}, {"x": "z"}]}),
        ),
        (
            object(json!({"a": {"type": "object", "additionalProperties": inner}})),
            json!({"a": {"k": {}}}),
            json!({"a": {"k": {"x": "y"}}}),
        ),
    ];
    for (schema, value, wanted) in table {
        let mut object = map(&value);
        let schema = Schema::root(&schema);
        schema.drop_nulls(&mut object);
        schema.fill_in(&mut object);
        assert_eq!(Value::Object(object), wanted, "{value}");
    }
}

#[test]
fn nulls_that_may_not_be_and_have_no_default_go() {
    let schema = Schema::root(&object(json!({
        "a": {"type": "string"}, "b": {"type": "string", "nullable": true}, "c": {"type": "string", "default": "x"},
        "d": {"type": "object", "additionalProperties": {"type": "string"}},
    })));
    let mut object = map(&json!({"a": null, "b": null, "c": null, "d": {"k": null}, "unknown": null}));
    schema.drop_nulls(&mut object);
    assert_eq!(Value::Object(object), json!({"b": null, "c": null, "d": {}, "unknown": null}));
}
