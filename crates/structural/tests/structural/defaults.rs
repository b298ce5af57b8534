use machinery::field::Path;
use serde_json::{Value, json};
use structural::{Schema, check_defaults};

use crate::{object, texts};

fn faults(schema: &Value) -> Vec<String> {
    texts(&check_defaults(&Path::new("schema"), &Schema::root(schema), true))
}

#[test]
fn defaults_are_values_of_their_schema() {
    let at = "schema.properties[a].default";
    let table: Vec<(Value, Vec<String>)> = vec![
        (json!({"type": "string", "default": "x"}), vec![]),
        (json!({"type": "string", "default": 1}), vec![format!(r#"{at}: Invalid value: "integer":  in body must be of type string: "integer""#)]),
        (json!({"type": "integer", "minimum": 3, "default": 1}), vec![format!("{at}: Invalid value: 1:  in body should be greater than or equal to 3")]),
        (json!({"type": "object", "properties": {"b": {"type": "string"}}, "default": {"c": 1}}), vec![format!("{at}: Invalid value: {{\"c\":1}}: must not have unknown fields")]),
        (json!({"type": "integer", "default": 1, "x-kubernetes-validations": [{"rule": "self > 1"}]}), vec![format!("{at}: Invalid value: 1: failed rule: self > 1")]),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true, "default": {"apiVersion": "v1"}}),
            vec![format!("{at}.kind: Required value")],
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"metadata": {"type": "object", "default": {"name": 1}}}}),
            vec!["schema.properties[a].properties[metadata].default: Invalid value: {\"name\":1}: must result in valid metadata: metadata: Invalid value: {\"name\":1}: json: cannot unmarshal number into Go struct field ObjectMeta.name of type string".to_owned()],
        ),
    ];
    for (schema, wanted) in table {
        assert_eq!(faults(&object(json!({"a": schema}))), wanted, "{schema}");
    }
}
