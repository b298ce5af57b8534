use machinery::field::Path;
use serde_json::{Value, json};
use structural::{Budget, Correlated, Schema};

use crate::{object, texts};

/// Errors and warnings.
fn run(schema: &Value, new: &Value, old: Option<&Value>) -> (Vec<String>, Vec<String>) {
    let schema = Schema::root(schema);
    let correlated = old.map(|old| Correlated::new(new, old, &schema));
    let mut warnings = Vec::new();
    let errors =
        schema.check_rules(&Path::root(), new, old, correlated.as_ref(), &mut Budget::default(), &mut warnings);
    (texts(&errors), warnings)
}

fn with_rule(mut schema: Value, rule: Value) -> Value {
    schema["x-kubernetes-validations"] = json!([rule]);
    schema
}

#[test]
fn rules_speak_of_what_they_stand_at() {
    let spec = object(json!({"min": {"type": "integer"}, "max": {"type": "integer"}}));
    let table: Vec<(Value, Value, Vec<&str>)> = vec![
        (
            json!({"rule": "self.min <= self.max"}),
            json!({"min": 2, "max": 1}),
            vec!["spec: Invalid value: failed rule: self.min <= self.max"],
        ),
        (
            json!({"rule": "self.min <= self.max", "message": " too much "}),
            json!({"min": 2, "max": 1}),
            vec!["spec: Invalid value: too much"],
        ),
        (
            json!({"rule": "self.min <= self.max", "messageExpression": "'min ' + (self.min > 1 ? 'large' : 'small')"}),
            json!({"min": 2, "max": 1}),
            vec!["spec: Invalid value: min large"],
        ),
        // An expression that fails or says nothing leaves the message.
        (
            json!({"rule": "self.min <= self.max", "message": "m", "messageExpression": "''"}),
            json!({"min": 2, "max": 1}),
            vec!["spec: Invalid value: m"],
        ),
        (
            json!({"rule": "self.min <= self.max", "fieldPath": ".max", "reason": "FieldValueRequired", "message": "m"}),
            json!({"min": 2, "max": 1}),
            vec!["spec.max: Required value: m"],
        ),
        (
            json!({"rule": "self.min <= self.max", "reason": "FieldValueForbidden", "message": "m"}),
            json!({"min": 2, "max": 1}),
            vec!["spec: Forbidden: m"],
        ),
        (
            json!({"rule": "self.min <= self.max", "reason": "FieldValueDuplicate", "message": "m"}),
            json!({"min": 2, "max": 1}),
            vec!["spec: Duplicate value"],
        ),
        (
            json!({"rule": "self.min <= self.max"}),
            json!({"min": 1}),
            vec![r#"spec: Invalid value: "object": no such key: max evaluating rule: self.min <= self.max"#],
        ),
        (json!({"rule": "self.min <= self.max"}), json!({"min": 1, "max": 1}), vec![]),
        (json!({"rule": "self.min <= self.max"}), json!(null), vec![]),
    ];
    for (rule, value, wanted) in table {
        let schema = object(json!({"spec": with_rule(spec.clone(), rule.clone())}));
        assert_eq!(run(&schema, &json!({"spec": value}), None).0, wanted, "{rule}");
    }
}

#[test]
fn rules_of_the_root_know_the_metadata() {
    let schema =
        with_rule(object(json!({"spec": {"type": "object"}})), json!({"rule": "self.metadata.name.startsWith('a')"}));
    let named = |name: &str| json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": name}});
    assert_eq!(run(&schema, &named("abc"), None).0, Vec::<String>::new());
    assert_eq!(
        run(&schema, &named("b"), None).0,
        ["<nil>: Invalid value: failed rule: self.metadata.name.startsWith('a')"]
    );
}

#[test]
fn rules_about_changes_ask_for_something_older() {
    let of = |rule: Value| object(json!({"a": with_rule(json!({"type": "string"}), rule)}));
    let fixed = of(json!({"rule": "self == oldSelf"}));
    assert_eq!(run(&fixed, &json!({"a": "x"}), None).0, Vec::<String>::new());
    assert_eq!(run(&fixed, &json!({"a": "x"}), Some(&json!({}))).0, Vec::<String>::new());
    assert_eq!(
        run(&fixed, &json!({"a": "x"}), Some(&json!({"a": "y"}))).0,
        [r#"a: Invalid value: "x": failed rule: self == oldSelf"#]
    );
    let optional =
        of(json!({"rule": "oldSelf.hasValue() ? oldSelf.value() == self : self == 'new'", "optionalOldSelf": true}));
    assert_eq!(run(&optional, &json!({"a": "new"}), None).0, Vec::<String>::new());
    assert_eq!(run(&optional, &json!({"a": "x"}), None).0.len(), 1);
    assert_eq!(run(&optional, &json!({"a": "x"}), Some(&json!({"a": "x"}))).0, Vec::<String>::new());
}

#[test]
fn items_of_maps_have_counterparts() {
    let item = with_rule(
        object(json!({"k": {"type": "string"}, "n": {"type": "integer"}})),
        json!({"rule": "self.n >= oldSelf.n"}),
    );
    let schema = object(json!({"l": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item,
    }}));
    let old = json!({"l": [{"k": "a", "n": 5}, {"k": "b", "n": 1}]});
    assert_eq!(
        run(&schema, &json!({"l": [{"k": "b", "n": 2}, {"k": "a", "n": 6}, {"k": "c", "n": 0}]}), Some(&old)).0,
        Vec::<String>::new()
    );
    assert_eq!(
        run(&schema, &json!({"l": [{"k": "b", "n": 0}]}), Some(&old)).0,
        ["l[0]: Invalid value: failed rule: self.n >= oldSelf.n"]
    );
}

#[test]
fn faults_that_were_there_become_warnings() {
    let schema = object(
        json!({"a": with_rule(json!({"type": "integer"}), json!({"rule": "self < 5"})), "b": {"type": "integer"}}),
    );
    let (errors, warnings) = run(&schema, &json!({"a": 9, "b": 2}), Some(&json!({"a": 9, "b": 1})));
    assert_eq!((errors, warnings), (vec![], vec!["a: Invalid value: 9: failed rule: self < 5".to_owned()]));
    let (errors, warnings) = run(&schema, &json!({"a": 8}), Some(&json!({"a": 9})));
    assert_eq!((errors.len(), warnings.len()), (1, 0));
}

#[test]
fn rules_that_cost_too_much_are_stopped() {
    let dear = "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))";
    let schema =
        object(json!({"l": with_rule(json!({"type": "array", "items": {"type": "integer"}}), json!({"rule": dear}))}));
    let value = json!({"l": vec![1; 200]});
    let wanted = format!(
        "l: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules \
         will be run due to call cost exceeds limit for rule: {dear}"
    );
    assert_eq!(run(&schema, &value, None).0, [wanted]);
    let often = object(json!({"m": {"type": "object", "additionalProperties": with_rule(
        json!({"type": "array", "items": {"type": "integer"}}), json!({"rule": "self.all(a, self.all(b, a + b >= 0))"})
    )}}));
    let many: Value =
        (0..40).map(|key| (format!("k{key:02}"), json!(vec![1; 300]))).collect::<serde_json::Map<_, _>>().into();
    let errors = run(&often, &json!({"m": many}), None).0;
    assert!(
        errors
            .last()
            .unwrap()
            .ends_with("validation failed due to running out of cost budget, no further validation rules will be run"),
        "{errors:?}"
    );
}

/// A list whose items are told apart by their keys is gone through once, however long it is.
#[test]
fn items_find_what_they_were_before_in_long_lists() {
    let item = with_rule(object(json!({"name": {"type": "string"}})), json!({"rule": "self.name == oldSelf.name"}));
    let list = json!({
        "type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    });
    let items = |order: &mut dyn Iterator<Item = u32>| -> Value {
        order.map(|name| json!({"name": name.to_string()})).collect()
    };
    const ITEMS: u32 = 100_000;
    let (old, new) = (items(&mut (0..ITEMS)), items(&mut (0..ITEMS).rev()));
    let found = run(&object(json!({"list": list})), &json!({"list": new}), Some(&json!({"list": old})));
    assert_eq!(found, (vec![], vec![]));
}

#[test]
fn of_very_many_faults_the_first_are_told() {
    let item = with_rule(json!({"type": "string"}), json!({"rule": "self == 'a'"}));
    let list = object(json!({"list": {"type": "array", "items": item}}));
    let (errors, _) = run(&list, &json!({"list": vec!["b"; 100_000]}), None);
    assert_eq!(errors.len(), 1000);
}
