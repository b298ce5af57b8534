use std::sync::Arc;

use expression::{Environment, PER_CALL_LIMIT, Shape, Type, Value, escape, unescape};
use serde_json::{Value as Json, json};

use crate::{check, schema};

#[test]
fn json_is_read_along_its_shape() {
    check(&[
        ("self.replicas <= self.maxReplicas", "true"),
        ("self.ratio", "1"),
        ("type(self.ratio) == double", "true"),
        ("self.port == 80", "true"),
        ("type(self.port) == int ? 'number' : 'text'", "\"number\""),
        ("self.data == b'hello'", "true"),
        ("self.since.getHours()", "12"),
        ("self.day < self.since", "true"),
        ("self.period == duration('90m')", "true"),
        ("self.a__dash__b__dot__c__slash__d__underscores__e", "\"escaped\""),
        ("self.__namespace__ == self.namespace", "true"),
        ("has(self.nothing)", "false"),
        ("self.labels.app", "\"web\""),
        ("self.labels['tier']", "\"front\""),
        ("'app' in self.labels && !('x' in self.labels)", "true"),
        ("self.labels.map(k, k)", "[\"app\", \"tier\"]"),
        ("self.tags.size() + size(self.labels)", "5"),
        ("self.items.map(i, i.value)", "[1, 2]"),
        ("type(self) == map", "true"),
        ("object.replicas == 3 && object.items[1].key == 'two'", "true"),
        ("has(object.nothing)", "true"),
        ("object.?missing.deep.orValue(1)", "1"),
    ]);
}

#[test]
fn sets_and_maps_compare_without_order() {
    check(&[
        ("self.set == ['y', 'x']", "true"),
        ("self.set == ['y', 'z']", "false"),
        ("self.tags == ['b', 'a', 'c']", "false"),
        ("self.set + ['x', 'z'] == ['z', 'y', 'x']", "true"),
        ("self.items == object.items", "true"),
        ("self.items + self.items == self.items", "true"),
        ("self == self", "true"),
    ]);
}

fn compare(expression: &str, left: &Json, right: &Json) -> String {
    let shape = Arc::new(Shape::from_schema(&schema(), "Rule", false).expect("the schema has a shape"));
    let environment = Environment::new().with_shape("self", shape.clone()).with_shape("oldSelf", shape.clone());
    let program = environment.compile(expression).expect("the expression compiles");
    let left = Value::new(left, &shape).expect("the object has the shape");
    let right = Value::new(right, &shape).expect("the object has the shape");
    match program.evaluate(&[("self", left), ("oldSelf", right)], PER_CALL_LIMIT).value {
        Ok(value) => value.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn map_lists_take_over_by_key() {
    let old = json!({"items": [{"key": "a", "value": 1}, {"key": "b", "value": 2}]});
    let new = json!({"items": [{"key": "b", "value": 3}, {"key": "c", "value": 4}]});
    assert_eq!(compare("(oldSelf.items + self.items).map(i, i.value)", &new, &old), "[1, 3, 4]");
    let turned = json!({"items": [{"key": "b", "value": 2}, {"key": "a", "value": 1}]});
    assert_eq!(compare("self.items == oldSelf.items", &turned, &old), "true");
}

#[test]
fn data_of_another_form_fails() {
    let fails = |expression: &str, object: Json| compare(expression, &object, &json!({}));
    assert_eq!(fails("self.replicas > 0", json!({"replicas": "x"})), "invalid data, expected int, got string");
    assert_eq!(fails("self.name == ''", json!({"name": 1})), "invalid data, expected string, got int64");
    assert_eq!(fails("self.replicas > 0", json!({})), "no such key: replicas");
}

#[test]
fn values_become_json() {
    let written = |expression: &str| {
        let program = Environment::new().with_mutation().compile(expression).expect("the expression compiles");
        let value = program.evaluate(&[] as &[(&str, Value<'_>)], PER_CALL_LIMIT).value.expect("it evaluates");
        value.to_json().map_err(|error| error.to_string())
    };
    let made =
        "Object{metadata: Object.metadata{labels: {'a': 'b'}}, list: [1, 2], one: 2.5, no: null, at: duration('90s')}";
    assert_eq!(
        written(made),
        Ok(json!({"metadata": {"labels": {"a": "b"}}, "list": [1, 2], "one": 2.5, "no": null, "at": "90s"}))
    );
    assert_eq!(written("{1: b'x', 2: b''}.map(k, k)"), Ok(json!([1, 2])));
    assert_eq!(written("b'hello'"), Ok(json!("aGVsbG8=")));
    assert_eq!(written("quantity('1')"), Err("cannot convert kubernetes.Quantity to JSON".to_owned()));
    assert_eq!(written("int"), Err("cannot convert int to JSON".to_owned()));
}

#[test]
fn callers_can_make_values() {
    let environment = Environment::new().with_variable("device", Type::Dyn);
    let program = environment
        .compile("device.memory.isGreaterThan(quantity('1Gi')) && device.version.major() == 2")
        .expect("the expression compiles");
    let memory = expression::quantity("2Gi".parse().expect("it is a quantity"));
    let version = expression::semver("2.1.0").expect("it is a version");
    let device = Value::map([("memory".to_owned(), memory), ("version".to_owned(), version)]);
    let value = program.evaluate(&[("device", device)], PER_CALL_LIMIT).value.expect("it evaluates");
    assert_eq!(value.to_string(), "true");
}

#[test]
fn programs_are_shared_between_threads() {
    let program = Environment::new().compile("'a'.matches('^a$')").expect("the expression compiles");
    std::thread::scope(|scope| {
        let run = || program.evaluate(&[] as &[(&str, Value<'_>)], PER_CALL_LIMIT).value.map(|of| of.to_string());
        let threads = [scope.spawn(run), scope.spawn(run)];
        for thread in threads {
            assert_eq!(thread.join().expect("the thread ends well"), Ok("true".to_owned()));
        }
    });
}

#[test]
fn names_are_escaped_and_back() {
    for name in ["a", "a-b", "a.b/c", "a__b", "namespace", "__proto", "a_-_b", "x_y"] {
        let escaped = escape(name).expect("the name can be written");
        assert_eq!(unescape(&escaped).as_deref(), Some(name), "{escaped}");
    }
    assert_eq!(escape("a b"), None);
    assert_eq!(escape("1a"), None);
    assert_eq!(escape(""), None);
    assert_eq!(unescape("a__nope__b"), None);
}

#[test]
fn resources_have_what_all_of_them_have() {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object"}}});
    let shape = Arc::new(Shape::from_schema(&schema, "Root", true).expect("the schema has a shape"));
    let environment = Environment::new().with_shape("self", shape.clone());
    let program = environment.compile("self.metadata.name + self.kind").expect("the expression compiles");
    let object = json!({"kind": "K", "metadata": {"name": "n", "labels": {}}, "spec": {}});
    let bindings = [("self", Value::new(&object, &shape).expect("the object has the shape"))];
    let value = program.evaluate(&bindings, PER_CALL_LIMIT).value.expect("it evaluates");
    assert_eq!(value.to_string(), "nK");
    assert!(environment.compile("self.metadata.labels").is_err());
}
