use serde_json::{Value, json};

use crate::{DEFINITIONS, WIDGETS, definition, start, version, widget, with_spec};

#[tokio::test]
async fn values_are_checked_in_upstreams_words() {
    let cluster = start().await;
    cluster
        .define(&with_spec(json!({"type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 10},
            "color": {"type": "string", "enum": ["red", "blue"]},
            "name": {"type": "string", "maxLength": 3, "pattern": "^[a-z]+$"},
            "tags": {"type": "array", "maxItems": 2, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "port": {"x-kubernetes-int-or-string": true},
            "when": {"type": "string", "format": "date-time"},
            "either": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "none": {"type": "string", "nullable": true},
        }})))
        .await;
    let invalid = |what: &str| format!("Widget.example.com \"a\" is invalid: {what}");
    for (spec, wanted) in [
        (json!({}), "spec.size: Required value"),
        (
            json!({"size": "x"}),
            r#"spec.size: Invalid value: "string": spec.size in body must be of type integer: "string""#,
        ),
        (json!({"size": 0}), "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        (json!({"size": 11}), "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10"),
        (
            json!({"size": 1, "color": "green"}),
            r#"spec.color: Unsupported value: "green": supported values: "red", "blue""#,
        ),
        (json!({"size": 1, "name": "abcd"}), "spec.name: Too long: may not be more than 3 bytes"),
        (
            json!({"size": 1, "name": "A"}),
            r#"spec.name: Invalid value: "A": spec.name in body should match '^[a-z]+$'"#,
        ),
        (json!({"size": 1, "tags": ["a", "b", "c"]}), "spec.tags: Too many: 3: must have at most 2 items"),
        (json!({"size": 1, "tags": ["a", "a"]}), r#"spec.tags[1]: Duplicate value: "a""#),
        (
            json!({"size": 1, "port": true}),
            r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#,
        ),
        (
            json!({"size": 1, "when": "now"}),
            r#"spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now""#,
        ),
        (
            json!({"size": 1, "either": {}}),
            r#"[<nil>: Invalid value: "": "spec.either" must validate one and only one schema (oneOf). Found none valid, spec.either.a: Required value]"#,
        ),
    ] {
        assert_eq!(cluster.try_spec("a", spec.clone()).await, invalid(wanted), "{spec}");
    }
    let taken = json!({"size": 1, "port": "http", "none": null, "when": "2026-01-01T00:00:00Z", "either": {"b": ""}});
    assert_eq!(cluster.try_spec("b", taken.clone()).await, taken.to_string());
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_told_as_asked() {
    let cluster = start().await;
    cluster.define(&with_spec(json!({"type": "object", "properties": {"size": {"type": "integer"}}}))).await;
    let body = r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a","wrong":1},
        "spec":{"size":1,"size":2,"x":{"y":1}},"other":1}"#;
    let strict = cluster.api.send("POST", &format!("{WIDGETS}?fieldValidation=Strict"), &[], body).await;
    assert_eq!(
        strict.problem(),
        "400 BadRequest: Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: duplicate field \
         \"spec.size\", unknown field \"metadata.wrong\", unknown field \"other\", unknown field \"spec.x\""
    );
    let warned = cluster.api.send("POST", WIDGETS, &[], body).await;
    assert_eq!(warned.headers.get_all("warning").iter().count(), 4);
    assert_eq!(warned.expect(201)["spec"], json!({"size": 2}));
}

#[tokio::test]
async fn defaults_are_filled_in_on_the_way_in_and_when_they_come_later() {
    let cluster = start().await;
    let spec = |more: Value| {
        let mut properties = json!({"size": {"type": "integer", "default": 3}, "inner": {"type": "object", "default": {}, "properties": {"x": {"type": "string", "default": "y"}}}});
        properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with_spec(json!({"type": "object", "default": {}, "properties": properties}))
    };
    cluster.define(&spec(json!({}))).await;
    let mut bare = widget("a", json!({}));
    bare.as_object_mut().unwrap().remove("spec");
    let made = cluster.api.post(WIDGETS, &bare).await.expect(201);
    assert_eq!(made["spec"], json!({"size": 3, "inner": {"x": "y"}}));
    let uri = format!("{DEFINITIONS}/widgets.example.com");
    let mut later = cluster.api.get(&uri).await.expect(200);
    later["spec"] = spec(json!({"color": {"type": "string", "default": "red"}}))["spec"].clone();
    cluster.api.put(&uri, &later).await.expect(200);
    let read = cluster.api.get(&format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!(read["spec"]["color"], "red");
    assert_eq!(read["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn rules_are_checked_and_faults_that_were_there_are_forgiven() {
    let cluster = start().await;
    let rule = |rule: &str, more: Value| {
        let mut of = json!({"rule": rule});
        of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        of
    };
    let spec = |limit: i64| {
        with_spec(json!({"type": "object",
            "properties": {
                "size": {"type": "integer"}, "max": {"type": "integer"},
                "name": {"type": "string", "maxLength": limit, "x-kubernetes-validations": [rule("self == oldSelf", json!({"message": "name is immutable"}))]},
                "low": {"type": "integer", "x-kubernetes-validations": [rule("self < 5", json!({}))]},
            },
            "x-kubernetes-validations": [
                rule("!has(self.max) || self.size <= self.max", json!({"messageExpression": "self.size > 4 ? 'far over max' : 'over max'", "fieldPath": ".size", "reason": "FieldValueForbidden"})),
                rule("oldSelf.hasValue() || !has(self.low) || self.low > 0", json!({"optionalOldSelf": true, "message": "low must begin above 0"})),
            ],
        }))
    };
    cluster.define(&spec(10)).await;
    let invalid = |what: &str| format!("Widget.example.com \"a\" is invalid: {what}");
    assert_eq!(
        cluster.try_spec("a", json!({"size": 5, "max": 4})).await,
        invalid("spec.size: Forbidden: far over max")
    );
    assert_eq!(cluster.try_spec("a", json!({"low": 0})).await, invalid("spec: Invalid value: low must begin above 0"));
    assert_eq!(
        cluster.try_spec("a", json!({"low": 7})).await,
        invalid("spec.low: Invalid value: 7: failed rule: self < 5")
    );
    assert_eq!(cluster.try_spec("a", json!({"name": "first"})).await, r#"{"name":"first"}"#);
    let uri = format!("{WIDGETS}/a");
    let merge = "application/merge-patch+json";
    let renamed = cluster.api.patch(&uri, merge, &json!({"spec": {"name": "second"}})).await;
    assert!(
        renamed.problem().ends_with(r#"spec.name: Invalid value: "second": name is immutable"#),
        "{}",
        renamed.problem()
    );
    // A schema that becomes narrower leaves alone what does not change.
    let definition = format!("{DEFINITIONS}/widgets.example.com");
    let mut narrower = cluster.api.get(&definition).await.expect(200);
    narrower["spec"] = spec(3)["spec"].clone();
    cluster.api.put(&definition, &narrower).await.expect(200);
    cluster.api.patch(&uri, merge, &json!({"spec": {"size": 2}})).await.expect(200);
    let wrong = cluster.api.patch(&uri, merge, &json!({"spec": {"name": "longer"}})).await;
    assert!(wrong.problem().contains("spec.name: Too long: may not be more than 3 bytes"), "{}", wrong.problem());
}

#[tokio::test]
async fn definitions_are_checked_in_upstreams_words() {
    let cluster = start().await;
    let root = |properties: Value| json!({"type": "object", "properties": properties});
    let rule = |rule: &str| json!([{"rule": rule}]);
    let at = "spec.validation.openAPIV3Schema.properties[spec]";
    for (spec, wanted) in [
        (
            json!({"properties": {}}),
            format!("{at}.type: Required value: must not be empty for specified object fields"),
        ),
        (json!({"type": "array"}), format!("{at}.items: Required value: must be specified")),
        (
            json!({"type": "foo"}),
            format!(
                "{at}.type: Unsupported value: \"foo\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\""
            ),
        ),
        (
            json!({"type": "string", "default": 1}),
            format!(
                "{at}.default: Invalid value: \"integer\": {at}.default in body must be of type string: \"integer\""
            )
            .replace(&format!("{at}.default in body"), " in body"),
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"b": {"type": "string"}}}]}),
            format!("{at}.anyOf[0].properties[b].type: Forbidden: must be empty to be structural"),
        ),
        (
            json!({"type": "object", "properties": {}, "default": {"x": 1}}),
            format!("{at}.default: Invalid value: {{\"x\":1}}: must not have unknown fields"),
        ),
        (
            json!({"type": "string", "uniqueItems": true}),
            format!(
                "{at}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            ),
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"}),
            format!(
                "[{at}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map, {at}.items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map]"
            ),
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": rule("self.x > 1")}),
            format!(
                "{at}.x-kubernetes-validations[0].rule: Invalid value: {{\"FieldPath\":\"\",\"Message\":\"\",\"MessageExpression\":\"\",\"OptionalOldSelf\":null,\"Reason\":null,\"Rule\":\"self.x \\u003e 1\"}}: compilation failed: ERROR: <input>:1:5: undefined field 'x'\n | self.x > 1\n | ....^"
            ),
        ),
        (
            json!({"type": "integer", "x-kubernetes-validations": rule("self")}),
            format!(
                "{at}.x-kubernetes-validations[0].rule: Invalid value: {{\"FieldPath\":\"\",\"Message\":\"\",\"MessageExpression\":\"\",\"OptionalOldSelf\":null,\"Reason\":null,\"Rule\":\"self\"}}: cel expression must evaluate to a bool"
            ),
        ),
        (
            json!({"type": "array", "items": {"type": "integer", "x-kubernetes-validations": rule("self == oldSelf")}}),
            format!(
                "{at}.items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within {at}"
            ),
        ),
        (
            json!({"type": "array", "items": {"type": "array", "items": {"type": "string"}}, "x-kubernetes-validations": rule("self.all(x, self.all(y, x == y))")}),
            format!(
                "[{at}.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared), {at}.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema, spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)]"
            ),
        ),
    ] {
        let refused =
            cluster.api.post(DEFINITIONS, &definition(json!([version("v1", root(json!({"spec": spec})))]))).await;
        let prefix = "CustomResourceDefinition.apiextensions.k8s.io \"widgets.example.com\" is invalid: ";
        assert_eq!(refused.json()["message"], format!("{prefix}{wanted}"), "{spec}");
    }
}
