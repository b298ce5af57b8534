use machinery::field::Path;
use serde_json::{Value, json};
use structural::check_invariants;

use crate::{object, texts};

#[test]
fn schemas_are_structural() {
    let any_of = json!([{"type": "integer"}, {"type": "string"}]);
    let table: Vec<(Value, Vec<&str>)> = vec![
        (object(json!({"a": {"type": "string"}})), vec![]),
        (json!({}), vec!["s.type: Required value: must not be empty at the root"]),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            vec![r#"s.type: Invalid value: "array": must be object at the root"#],
        ),
        (
            json!({"type": "object", "additionalProperties": true}),
            vec!["s.additionalProperties: Forbidden: must not be used at the root"],
        ),
        (
            object(json!({"a": {}})),
            vec!["s.properties[a].type: Required value: must not be empty for specified object fields"],
        ),
        (
            object(json!({"a": {"type": "array", "items": {}}})),
            vec!["s.properties[a].items.type: Required value: must not be empty for specified array items"],
        ),
        (object(json!({"a": {"x-kubernetes-int-or-string": true, "anyOf": any_of}})), vec![]),
        (
            object(json!({"a": {"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": any_of}, {"pattern": "x"}]}})),
            vec![],
        ),
        (
            object(json!({"a": {"type": "string", "anyOf": [{"type": "string"}]}})),
            vec!["s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            object(json!({"a": {"type": "string", "not": {"default": "x", "nullable": true}}})),
            vec![
                "s.properties[a].not.default: Forbidden: must be undefined to be structural",
                "s.properties[a].not.nullable: Forbidden: must be false to be structural",
            ],
        ),
        (
            object(
                json!({"metadata": {"type": "object", "properties": {"name": {"type": "string", "pattern": "^a"}}}}),
            ),
            vec![],
        ),
        (
            object(json!({"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}})),
            vec![
                "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ],
        ),
        (
            object(json!({"kind": {"type": "integer"}})),
            vec![r#"s.properties[kind].type: Invalid value: "integer": must be string"#],
        ),
        (
            object(json!({"a": {"type": "object", "x-kubernetes-embedded-resource": true}})),
            vec![
                "s.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ],
        ),
        (
            object(json!({"a": {"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}})),
            vec![
                "s.properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
            ],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"properties": {"b": {"minLength": 1}}}]}),
            vec!["s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]"],
        ),
        (
            json!({"type": "object", "allOf": [{"properties": {"metadata": {}}}], "properties": {"metadata": {"type": "object"}}}),
            vec!["s.allOf[0].properties[metadata]: Forbidden: must not be specified in a nested context"],
        ),
    ];
    for (schema, wanted) in table {
        assert_eq!(texts(&check_invariants(&Path::new("s"), &schema)), wanted, "{schema}");
    }
}
