use serde_json::{Value, json};

use crate::{faults, new_faults, object};

fn check(schema: &Value, table: &[(Value, &[&str])]) {
    for (value, wanted) in table {
        assert_eq!(faults(&object(json!({"x": schema})), &json!({"x": value})), *wanted, "{schema} {value}");
    }
}

#[test]
fn values_are_of_their_type() {
    check(
        &json!({"type": "integer"}),
        &[
            (json!(1), &[]),
            (json!(1.0), &[]),
            (json!(1.5), &[r#"x: Invalid value: "number": x in body must be of type integer: "number""#]),
            (json!(null), &[r#"x: Invalid value: "null": x in body must be of type integer: "null""#]),
            (json!([]), &[r#"x: Invalid value: "array": x in body must be of type integer: "array""#]),
        ],
    );
    check(
        &json!({"type": "number"}),
        &[
            (json!(1), &[]),
            (json!(1.5), &[]),
            (json!("1"), &[r#"x: Invalid value: "string": x in body must be of type number: "string""#]),
        ],
    );
    check(&json!({"type": "string", "nullable": true}), &[(json!(null), &[]), (json!("a"), &[])]);
    check(
        &json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        &[
            (json!(1), &[]),
            (json!("1"), &[]),
            (
                json!(true),
                &[
                    r#"x: Invalid value: "boolean": x in body must be of type integer,string: "boolean""#,
                    r#"<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)"#,
                    r#"x: Invalid value: "boolean": x in body must be of type integer: "boolean""#,
                ],
            ),
        ],
    );
    check(&json!({"x-kubernetes-preserve-unknown-fields": true}), &[(json!({"a": 1}), &[]), (json!("a"), &[])]);
}

#[test]
fn values_are_within_their_limits() {
    check(
        &json!({"type": "integer", "format": "int32", "minimum": 2, "exclusiveMinimum": true, "multipleOf": 3}),
        &[
            (json!(3), &[]),
            (
                json!(2),
                &[
                    "x: Invalid value: 2: x in body should be a multiple of 3",
                    "x: Invalid value: 2: x in body should be greater than 2",
                ],
            ),
            (
                json!(3_000_000_000i64),
                &[r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in x"#],
            ),
        ],
    );
    check(
        &json!({"type": "number", "maximum": 1.5}),
        &[(json!(1.5), &[]), (json!(1.6), &["x: Invalid value: 1.6: x in body should be less than or equal to 1.5"])],
    );
    check(
        &json!({"type": "string", "minLength": 2, "maxLength": 3}),
        &[
            (json!("äöü"), &[]),
            (json!("a"), &[r#"x: Invalid value: "a": x in body should be at least 2 chars long"#]),
            (json!("abcd"), &["x: Too long: may not be more than 3 bytes"]),
        ],
    );
    check(
        &json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2}),
        &[
            (json!([]), &["x: Invalid value: 0: x in body should have at least 1 items"]),
            (
                json!(["a", 1, "b"]),
                &[
                    r#"x[1]: Invalid value: "integer": x[1] in body must be of type string: "integer""#,
                    "x: Too many: 3: must have at most 2 items",
                ],
            ),
        ],
    );
    check(
        &json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 1}),
        &[
            (json!({}), &["x: Invalid value: 0: x in body should have at least 1 properties"]),
            (
                json!({"a": 1, "b": "c"}),
                &[
                    "x: Too many: 2: must have at most 1 item",
                    r#"x.b: Invalid value: "string": x.b in body must be of type integer: "string""#,
                ],
            ),
        ],
    );
    check(
        &json!({"type": "object", "additionalProperties": false}),
        &[(json!({"a": 1}), &[r#"x: Invalid value: "a": x.a in body is a forbidden property"#])],
    );
}

#[test]
fn logic_tells_what_fits_best() {
    let either = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "anyOf": [
        {"required": ["a"]}, {"required": ["b"], "properties": {"b": {"minimum": 3}}},
    ]});
    check(
        &either,
        &[
            (json!({"a": ""}), &[]),
            (json!({"b": 3}), &[]),
            (
                json!({"b": 1}),
                &[
                    r#"<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)"#,
                    "x.b: Invalid value: 1: x.b in body should be greater than or equal to 3",
                ],
            ),
        ],
    );
    let one = json!({"type": "string", "oneOf": [{"pattern": "^a"}, {"pattern": "b$"}]});
    check(
        &one,
        &[
            (json!("ax"), &[]),
            (
                json!("ab"),
                &[
                    r#"<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
                ],
            ),
        ],
    );
    let all = json!({"type": "string", "allOf": [{"minLength": 2}, {"pattern": "^a"}]});
    check(
        &all,
        &[
            (json!("ab"), &[]),
            (
                json!("bb"),
                &[
                    r#"x: Invalid value: "bb": x in body should match '^a'"#,
                    r#"<nil>: Invalid value: "": "x" must validate all the schemas (allOf)"#,
                ],
            ),
        ],
    );
    let not = json!({"type": "string", "not": {"enum": ["a"]}});
    check(
        &not,
        &[(json!("b"), &[]), (json!("a"), &[r#"<nil>: Invalid value: "": "x" must not validate the schema (not)"#])],
    );
    check(
        &json!({"type": "string", "enum": ["a", "b"]}),
        &[(json!("c"), &[r#"x: Unsupported value: "c": supported values: "a", "b""#])],
    );
}

#[test]
fn what_an_update_leaves_alone_is_forgiven() {
    let schema = object(json!({
        "a": {"type": "string", "maxLength": 1},
        "list": {"type": "array", "items": {"type": "string", "maxLength": 1}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items":
            {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string", "maxLength": 1}, "w": {"type": "integer"}}}},
        "o": {"type": "object", "required": ["must"], "properties": {"must": {"type": "string"}, "p": {"type": "integer"}}},
    }));
    let table: &[(Value, Value, &[&str])] = &[
        (json!({"a": "long"}), json!({"a": "long"}), &[]),
        (json!({"a": "other"}), json!({"a": "long"}), &["a: Too long: may not be more than 1 bytes"]),
        (json!({"a": "long"}), json!({}), &["a: Too long: may not be more than 1 bytes"]),
        // Items of plain lists have no counterpart, but the whole list has.
        (json!({"list": ["xx"]}), json!({"list": ["xx"]}), &[]),
        (json!({"list": ["xx", "y"]}), json!({"list": ["xx"]}), &["list[0]: Too long: may not be more than 1 bytes"]),
        (
            json!({"map": [{"k": "b"}, {"k": "a", "v": "xx", "w": 2}]}),
            json!({"map": [{"k": "a", "v": "xx", "w": 1}]}),
            &[],
        ),
        (
            json!({"map": [{"k": "b", "v": "xx"}]}),
            json!({"map": [{"k": "a", "v": "xx"}]}),
            &["map[0].v: Too long: may not be more than 1 bytes"],
        ),
        (json!({"o": {"p": 1}}), json!({"o": {"p": 1}}), &[]),
        (json!({"o": {"p": 2}}), json!({"o": {"p": 1}}), &["o.must: Required value"]),
    ];
    for (new, old, wanted) in table {
        assert_eq!(new_faults(&schema, new, old), *wanted, "{old} -> {new}");
    }
}

/// Each fault repeats the path to it: a body of a few megabytes could make gigabytes of them.
#[test]
fn of_very_many_faults_the_first_are_told() {
    let list = object(json!({"list": {"type": "array", "items": {"type": "string"}}}));
    let faults = faults(&list, &json!({"list": vec![1; 500_000]}));
    assert_eq!(faults.len(), 1000);
}
