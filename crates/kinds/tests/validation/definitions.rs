//! CustomResourceDefinitions that were made before something was asked of them: what updates leave as it was is
//! forgiven, what they add is not. (upstream: apiextensions-apiserver pkg/apis/apiextensions/validation)

use serde_json::{Value, json};

use crate::{errors, update_errors};

/// A definition whose versions have these schemas; a version without a schema has `null`.
fn definition<const N: usize>(schemas: [&Value; N]) -> Value {
    let version = |(number, schema): (usize, &Value)| {
        let mut version = json!({"name": format!("v{number}"), "served": true, "storage": number == 1});
        if !schema.is_null() {
            version["schema"] = json!({"openAPIV3Schema": schema});
        }
        version
    };
    let versions: Vec<Value> = (1..).zip(schemas).map(version).collect();
    json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
            "versions": versions,
        },
        "status": {"storedVersions": ["v1"], "conditions": [{"type": "Established", "status": "True"}]},
    })
}

fn with(mut definition: Value, change: impl Fn(&mut Value)) -> Value {
    change(&mut definition);
    definition
}

/// A definition that keeps what it does not know, as only old ones may.
fn preserving<const N: usize>(schemas: [&Value; N]) -> Value {
    with(definition(schemas), |of| of["spec"]["preserveUnknownFields"] = json!(true))
}

fn update(old: Value, new: Value) -> Vec<String> {
    update_errors("apiextensions.k8s.io", "customresourcedefinitions", old, new)
}

/// A schema with this property `f`.
fn field(of: &Value) -> Value {
    json!({"type": "object", "properties": {"f": of}})
}

/// A definition may keep `faulty`, whose fault is told where it comes in anew.
fn check(faulty: &Value, fault: &str) {
    let (fine, faulty_field) = (field(&json!({"type": "string"})), field(faulty));
    let told = |path: &str| fault.replace("AT", &format!("{path}.openAPIV3Schema.properties[f]"));
    let single = told("spec.validation");
    assert_eq!(update(definition([&fine]), definition([&faulty_field])), [single], "{faulty}");
    let old = definition([&faulty_field]);
    assert_eq!(update(old.clone(), old.clone()), Vec::<String>::new(), "{faulty}");
    // Once it is there, it may be in other places too.
    let more = field(&json!({"type": "object", "properties": {"g": faulty, "h": faulty}}));
    assert_eq!(update(old, definition([&more])), Vec::<String>::new(), "{faulty}");
}

#[test]
fn what_has_no_structural_form_is_told_once() {
    let told = |schema: &Value| errors("apiextensions.k8s.io", "customresourcedefinitions", definition([schema]));
    const AT: &str = "spec.validation.openAPIV3Schema";
    let field = |of: Value| json!({"type": "object", "properties": {"f": of}});
    for (schema, expected) in [
        (field(json!({"$ref": "#/x"})), format!("{AT}.properties[f].$ref: Forbidden: $ref is not supported")),
        (
            field(json!({"type": "array", "items": [{"type": "string"}]})),
            format!("{AT}.properties[f].items: Forbidden: items must be a schema object and not an array"),
        ),
        (
            json!({"type": "object", "$schema": "http://json-schema.org/schema#"}),
            format!("{AT}: Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"),
        ),
    ] {
        assert_eq!(told(&schema), [expected], "{schema}");
    }
}

#[test]
fn a_default_of_the_root_is_a_whole_resource() {
    let schema = json!({"type": "object", "properties": {"f": {"type": "string"}}, "default": {"f": "x"}});
    let told = errors("apiextensions.k8s.io", "customresourcedefinitions", definition([&schema]));
    const AT: &str = "spec.validation.openAPIV3Schema.default";
    assert_eq!(told, [format!("{AT}.apiVersion: Required value"), format!("{AT}.kind: Required value")]);
}

#[test]
fn names_and_conversion_of_a_definition_say_what_they_say() {
    let object = json!({"type": "object"});
    for (path, value, expected) in [
        ("/spec/conversion", json!({}), "spec.conversion.strategy: Required value"),
        (
            "/spec/names/shortNames",
            json!(["w", ""]),
            "spec.names.shortNames[1]: Invalid value: \"\": a DNS-1035 label must consist of lower case alphanumeric characters \
             or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or \
             'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ),
    ] {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let changed = with(definition([&object]), |of| of.pointer_mut(parent).unwrap()[name] = value.clone());
        assert_eq!(errors("apiextensions.k8s.io", "customresourcedefinitions", changed), [expected], "{path}");
    }
}

#[test]
fn what_was_not_asked_of_old_definitions_is_not_asked_of_their_updates() {
    let set = |items: Value| json!({"type": "array", "x-kubernetes-list-type": "set", "items": items});
    let atomic = "must be atomic as item of a list with x-kubernetes-list-type=set";
    check(
        &set(json!({"type": "object", "properties": {}})),
        &format!("AT.items.x-kubernetes-map-type: Invalid value: null: {atomic}"),
    );
    check(
        &set(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}})),
        &format!("AT.items.x-kubernetes-list-type: Invalid value: \"set\": {atomic}"),
    );
    check(
        &set(json!({"type": "string", "nullable": true})),
        "AT.items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set",
    );
    let map = |key: Value| {
        json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": key}},
        })
    };
    check(
        &map(json!({"type": "string"})),
        "AT.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a \
         default or be a required property",
    );
    check(
        &map(json!({"type": "string", "default": "x", "nullable": true})),
        "AT.items.properties[k].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be \
         nullable",
    );
    check(
        &json!({"type": "object", "properties": {}, "default": {"x": 1}}),
        "AT.default: Invalid value: {\"x\":1}: must not have unknown fields",
    );
    // What breaks every rule stays refused, however old.
    let recursive = field(&json!({"type": "object", "$ref": "#/definitions/x"}));
    assert_eq!(
        update(definition([&recursive]), definition([&recursive])),
        ["spec.validation.openAPIV3Schema.properties[f].$ref: Forbidden: $ref is not supported"]
    );
}

#[test]
fn schemas_that_are_no_structure_stay_with_what_is_not_pruned() {
    let loose = json!({"properties": {"f": {}}});
    let untyped = [
        "spec.validation.openAPIV3Schema.properties[f].type: Required value: must not be empty for specified object fields",
        "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root",
    ];
    let none = Vec::<String>::new();
    assert_eq!(update(preserving([&loose]), preserving([&loose])), none);
    let more = json!({"properties": {"f": {}, "g": {}}});
    assert_eq!(update(preserving([&loose]), preserving([&more])), none);
    // Pruning asks for a structure, and so do defaults and extensions.
    assert_eq!(update(preserving([&loose]), definition([&loose])), untyped);
    let extended = json!({"properties": {"f": {}}, "x-kubernetes-preserve-unknown-fields": true});
    assert_eq!(update(preserving([&loose]), preserving([&extended])), &untyped[..1]);
    let defaulted = json!({"properties": {"f": {"default": 1}}});
    let errors = update(preserving([&loose]), preserving([&defaulted]));
    let told = "spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in the schema";
    assert_eq!(errors, [&[told][..], &untyped].concat());
    let typed = json!({"type": "object", "properties": {"f": {"type": "string"}}});
    assert_eq!(update(preserving([&typed]), preserving([&loose])), untyped);
    // Types that there are not, and no schema at all.
    let odd = json!({"type": "object", "properties": {"f": {"type": "int"}}});
    let unknown = "spec.validation.openAPIV3Schema.properties[f].type: Unsupported value: \"int\": supported values: \
                   \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"";
    assert_eq!(update(preserving([&odd]), preserving([&odd])), none);
    assert_eq!(update(preserving([&typed]), preserving([&odd])), [unknown]);
    assert_eq!(update(preserving([&Value::Null]), preserving([&Value::Null])), none);
    let missing = "spec.versions[0].schema.openAPIV3Schema: Required value";
    assert_eq!(update(preserving([&typed]), preserving([&Value::Null])), [missing]);
    let pruned = format!("{missing}: because otherwise all fields are pruned");
    assert_eq!(update(preserving([&Value::Null]), definition([&Value::Null])), [pruned]);
    // It can be given up, and not be taken up.
    assert_eq!(update(preserving([&typed]), definition([&typed])), none);
    let text = "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set \
                x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    assert_eq!(update(definition([&typed]), preserving([&typed])), [text]);
}

#[test]
fn a_rule_may_stay_too_dear_while_its_schema_stays() {
    let rule = json!({"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 1_000_000},
        "x-kubernetes-validations": [{"rule": "self.all(x, self.exists(y, x == y))"}]});
    let (old, fine) = (field(&rule), field(&json!({"type": "string"})));
    let at = |path: &str| {
        format!(
            "{path}.openAPIV3Schema.properties[f].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds \
             budget by factor of 4.0x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where \
             arrays, maps, and strings are declared)"
        )
    };
    assert_eq!(update(definition([&fine]), definition([&old])), [at("spec.validation")]);
    assert_eq!(update(definition([&old]), definition([&old])), Vec::<String>::new());
    // Other versions may change meanwhile; the same rule in another version, or beside something new, counts again.
    assert_eq!(update(definition([&old, &fine]), definition([&old, &json!({"type": "object"})])), Vec::<String>::new());
    assert_eq!(update(definition([&fine, &old]), definition([&old, &fine])), [at("spec.versions[0].schema")]);
    let mut described = old.clone();
    described["description"] = json!("new");
    assert_eq!(update(definition([&old]), definition([&described])), [at("spec.validation")]);
}

#[test]
fn webhooks_and_selectable_fields_are_forgiven_while_they_stay() {
    let schema = json!({"type": "object"});
    let webhook = |reviews: &[&str], bundle: &str| {
        with(definition([&schema]), |of| {
            let client = json!({"url": "https://example.com/", "caBundle": bundle});
            let webhook = json!({"conversionReviewVersions": reviews, "clientConfig": client});
            of["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": webhook});
        })
    };
    let none = Vec::<String>::new();
    let unknown =
        "spec.conversion.conversionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1";
    assert_eq!(update(webhook(&["v1"], ""), webhook(&["v2"], "")), [unknown]);
    assert_eq!(update(webhook(&["v2"], ""), webhook(&["v2"], "")), none);
    let rubbish = "spec.conversion.webhookClientConfig.caBundle: Invalid value: \"cnViYmlzaA==\": unable to load root \
                   certificates: unable to parse bytes as PEM block";
    assert_eq!(update(webhook(&["v1"], ""), webhook(&["v1"], "cnViYmlzaA==")), [rubbish]);
    assert_eq!(update(webhook(&["v1"], "eA=="), webhook(&["v1"], "cnViYmlzaA==")), none);
    let preserving = with(webhook(&["v1"], ""), |of| of["spec"]["preserveUnknownFields"] = json!(true));
    assert_eq!(
        update(preserving.clone(), preserving),
        ["spec.conversion.strategy: Invalid value: \"Webhook\": must be None if spec.preserveUnknownFields is true"]
    );
    let selectable = |first: usize| {
        let names: Vec<String> = (first..first + 9).map(|number| format!("f{number}")).collect();
        let properties: serde_json::Map<String, Value> =
            names.iter().map(|name| (name.clone(), json!({"type": "string"}))).collect();
        with(definition([&json!({"type": "object", "properties": properties})]), |of| {
            let fields: Vec<Value> = names.iter().map(|name| json!({"jsonPath": format!(".{name}")})).collect();
            of["spec"]["versions"][0]["selectableFields"] = json!(fields);
        })
    };
    let many = "spec.selectableFields: Too many: 9: must have at most 8 items";
    assert_eq!(update(definition([&schema]), selectable(0)), [many]);
    assert_eq!(update(selectable(0), selectable(0)), none);
    assert_eq!(update(selectable(0), selectable(1)), [many]);
}

/// What is said of a new definition with this property `f`; `AT` stands for where it is.
fn told(of: &Value) -> Vec<String> {
    let at = "spec.validation.openAPIV3Schema.properties[f]";
    let errors = crate::errors("apiextensions.k8s.io", "customresourcedefinitions", definition([&field(of)]));
    errors.iter().map(|error| error.replace(at, "AT")).collect()
}

#[test]
fn schemas_do_not_recur_nor_contradict_themselves() {
    let object = |more: Value| {
        let mut object = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    for name in ["$ref", "id"] {
        assert_eq!(told(&object(json!({name: "#/f"}))), [format!("AT.{name}: Forbidden: {name} is not supported")]);
    }
    for name in ["definitions", "dependencies", "patternProperties"] {
        let errors = told(&object(json!({name: {"f": {"type": "object"}}})));
        assert_eq!(errors, [format!("AT.{name}: Forbidden: {name} is not supported")]);
    }
    for (schema, wanted) in [
        (
            object(json!({"allOf": [{"properties": {"a": {"type": "integer"}}}]})),
            vec!["AT.allOf[0].properties[a].type: Forbidden: must be empty to be structural"],
        ),
        (
            object(json!({"additionalProperties": {"type": "string"}})),
            vec!["AT.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            object(json!({"not": {"not": {"additionalProperties": {"type": "string"}}}})),
            vec!["AT.not.not.additionalProperties: Forbidden: must be undefined to be structural"],
        ),
        (
            json!({"type": "array", "items": [{"type": "string"}, {"type": "integer"}]}),
            vec!["AT.items: Forbidden: items must be a schema object and not an array"],
        ),
        (json!({"type": "string", "nullable": true, "default": null, "enum": ["a"]}), vec![]),
        (
            json!({"type": "string", "enum": ["a"], "default": "b"}),
            vec!["AT.default: Unsupported value: \"b\": supported values: \"a\""],
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
                "default": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a/b"}}}),
            vec!["AT.default.metadata.name: Invalid value: \"a/b\": may not contain '/'"],
        ),
    ] {
        assert_eq!(told(&schema), wanted, "{schema}");
    }
    // As deep as a request may be.
    let deep =
        (0..40).fold(json!({"type": "string"}), |inner, _| json!({"type": "object", "properties": {"f": inner}}));
    assert_eq!(told(&deep), Vec::<String>::new());
}

#[test]
fn patterns_are_gos() {
    for (pattern, wanted) in [
        ("[a", "missing closing ]: `[a`"),
        ("x[a", "missing closing ]: `[a`"),
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("*a", "missing argument to repetition operator: `*`"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        (r"a\", "trailing backslash at end of expression: ``"),
        ("((a{1000}){1000}){1000}", "invalid repeat count: `{1000}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}b", "invalid repeat count: `{2,1}`"),
        ("a{1,99999999999}?", "invalid repeat count: `{1,99999999999}`"),
        ("(a{40}b{10,26}){39}?", "invalid repeat count: `{39}?`"),
        ("a{1}**", "invalid nested repetition operator: `{1}*`"),
        ("x(a|b+?{2})", "invalid nested repetition operator: `+?{2}`"),
    ] {
        let wanted = format!(
            "AT.pattern: Invalid value: {pattern:?}: must be a valid regular expression, but isn't: error parsing regexp: {wanted}"
        );
        assert_eq!(told(&json!({"type": "string", "pattern": pattern})), [wanted]);
    }
    for pattern in [r"^[[:alpha:]&&a]\z", r"\Qa.b\E", "a{1000}", "[]a]", "{a}", "a{,5}", "a{01}", "(a{33}){30}", "a{"] {
        assert_eq!(told(&json!({"type": "string", "pattern": pattern})), Vec::<String>::new(), "{pattern}");
    }
}

#[test]
fn rules_name_fields_as_they_are_escaped() {
    let properties = json!({
        "namespace": {"type": "string"}, "a-b": {"type": "string"}, "c.d/e": {"type": "string"}, "f__g": {"type": "string"},
        "1h": {"type": "string"}, "i j": {"type": "string"}, "for": {"type": "string"},
    });
    let with_rule =
        |rule: &str| json!({"type": "object", "properties": properties, "x-kubernetes-validations": [{"rule": rule}]});
    for rule in [
        "has(self.__namespace__)",
        "has(self.a__dash__b)",
        "has(self.c__dot__d__slash__e)",
        "has(self.f__underscores__g)",
        "has(self.__for__)",
        "has(self.for)",
    ] {
        assert_eq!(told(&with_rule(rule)), Vec::<String>::new(), "{rule}");
    }
    let fault = |rule: &str, why: &str| {
        let shown = json!({"FieldPath": "", "Message": "", "MessageExpression": "", "OptionalOldSelf": null, "Reason": null, "Rule": rule});
        format!("AT.x-kubernetes-validations[0].rule: Invalid value: {shown}: compilation failed: ERROR: <input>:{why}")
    };
    for (rule, why) in [
        ("has(self.f__g)", "1:4: undefined field 'f__g'\n | has(self.f__g)\n | ...^"),
        ("self.a__b == ''", "1:5: undefined field 'a__b'\n | self.a__b == ''\n | ....^"),
        ("self.x", "1:5: undefined field 'x'\n | self.x\n | ....^"),
    ] {
        assert_eq!(told(&with_rule(rule)), [fault(rule, why)], "{rule}");
    }
}

#[test]
fn rules_that_are_cheap_alone_may_be_too_dear_together() {
    let list = json!({
        "type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 225_000},
        "x-kubernetes-validations": [{"rule": "self.all(x, self.exists(y, x == y))"}],
    });
    let lists = |count: usize| {
        let properties: serde_json::Map<String, Value> =
            (0..count).map(|number| (format!("f{number:02}"), list.clone())).collect();
        let schema = json!({"type": "object", "properties": properties});
        crate::errors("apiextensions.k8s.io", "customresourcedefinitions", definition([&schema]))
    };
    assert_eq!(lists(11), Vec::<String>::new());
    let errors = lists(12);
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert_eq!(
        errors[0],
        "spec.validation.openAPIV3Schema.properties[f00].x-kubernetes-validations[0].rule: Forbidden: contributed to \
         estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
    );
    assert_eq!(
        errors[4],
        "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire \
         OpenAPIv3 schema exceeds budget by factor of 1.080078x (try simplifying the rule, or adding maxItems, \
         maxProperties, and maxLength where arrays, maps, and strings are declared)"
    );
}
