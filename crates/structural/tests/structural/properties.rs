use machinery::field::Path;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use structural::{Budget, Correlated, Schema, UnknownFields};

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "string", "default": "d", "maxLength": 2})),
        Just(json!({"type": "integer", "nullable": true, "minimum": 1})),
        Just(json!({"type": "boolean", "default": true})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        Just(json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self < 3"}]})),
    ];
    leaf.prop_recursive(3, 24, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map("[abc]", inner.clone(), 0..3).prop_map(
                |of| json!({"type": "object", "properties": of, "required": of.keys().take(1).collect::<Vec<_>>()})
            ),
            inner.clone().prop_map(|of| json!({"type": "array", "items": of})),
            inner.prop_map(|of| json!({"type": "object", "additionalProperties": of})),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..5i64).prop_map(Value::from),
        "[ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map("[abcd]", inner.clone(), 0..3).prop_map(|of| json!(of)),
            prop::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    })
}

fn made(schema: &Schema, value: &Value) -> Map<String, Value> {
    let mut object: Map<String, Value> = [("spec".to_owned(), value.clone())].into_iter().collect();
    schema.prune(&mut object, &mut UnknownFields::default());
    schema.drop_nulls(&mut object);
    schema.fill_in(&mut object);
    object
}

proptest! {
    /// What was pruned and filled in stays as it is, and has no unknown fields.
    #[test]
    fn made_objects_stay(schema in schema(), value in value()) {
        let schema = Schema::root(&json!({"type": "object", "properties": {"spec": schema}}));
        let once = made(&schema, &value);
        let mut again = once.clone();
        let mut unknown = UnknownFields::default();
        schema.prune(&mut again, &mut unknown);
        prop_assert!(unknown.found.is_empty());
        schema.drop_nulls(&mut again);
        schema.fill_in(&mut again);
        prop_assert_eq!(again, once);
    }

    /// An update that changes nothing brings no fault, whatever is wrong.
    #[test]
    fn nothing_new_is_nothing_wrong(schema in schema(), value in value()) {
        // Of what no schema describes it can not be told that it is the same.
        prop_assume!(!schema.to_string().contains("preserve"));
        let schema = Schema::root(&json!({"type": "object", "properties": {"spec": schema}}));
        let object = Value::Object(made(&schema, &value));
        let correlated = Correlated::new(&object, &object, &schema);
        let faults = schema.check(&Path::root(), &object, Some(&correlated));
        prop_assert_eq!(faults, vec![]);
    }

    /// Rules never fail otherwise than by an error, nor do checks of what is of any form.
    #[test]
    fn whatever_it_is_it_is_checked(schema in schema(), value in value(), old in value()) {
        let schema = Schema::root(&json!({"type": "object", "properties": {"spec": schema}}));
        let (new, old) = (json!({"spec": value}), json!({"spec": old}));
        let correlated = Correlated::new(&new, &old, &schema);
        schema.check(&Path::root(), &new, Some(&correlated));
        let mut warnings = Vec::new();
        schema.check_rules(&Path::root(), &new, Some(&old), Some(&correlated), &mut Budget::default(), &mut warnings);
        schema.check_lists(new.as_object().unwrap());
    }
}
