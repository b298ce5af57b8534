//! Objects of custom kinds that are absurd.

use serde_json::{Value, json};

use crate::{WIDGETS, start, with_spec};

/// A Widget whose spec is this text.
fn body(spec: &str) -> String {
    format!(r#"{{"apiVersion":"example.com/v1","kind":"Widget","metadata":{{"name":"a"}},"spec":{spec}}}"#)
}

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "size": {"type": "integer"}, "ratio": {"type": "number"}, "small": {"type": "integer", "format": "int32"},
        "list": {"type": "array", "maxItems": 3, "items": {"type": "integer"}},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "template": {
            "type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object", "properties": {"x": {"type": "string"}}}},
        },
    }})
}

#[tokio::test]
async fn what_is_absurd_is_refused_in_upstreams_words() {
    let cluster = start().await;
    cluster.define(&with_spec(schema())).await;
    let unrecognized = "400 BadRequest: the object provided is unrecognized (must be of type Widget): couldn't get \
                        version/kind; json parse error: ";
    let invalid = "422 Invalid: Widget.example.com \"a\" is invalid: ";
    let nested =
        |levels: usize| format!("{}{}", r#"{"any":{"a":"#.repeat(levels), "1".to_owned() + &"}}".repeat(levels));
    for (spec, wanted) in [
        (r#"{"size":NaN}"#.to_owned(), unrecognized.to_owned()),
        (r#"{"size":01}"#.to_owned(), unrecognized.to_owned()),
        (nested(50_000), "400 BadRequest: ".to_owned()),
        (
            r#"{"size":1.5}"#.to_owned(),
            format!(r#"{invalid}spec.size: Invalid value: "number": spec.size in body must be of type integer: "number""#),
        ),
        (
            r#"{"size":9223372036854775808}"#.to_owned(),
            format!(r#"{invalid}spec.size: Invalid value: "number": spec.size in body must be of type integer: "number""#),
        ),
        (
            r#"{"small":2147483648}"#.to_owned(),
            format!(
                r#"{invalid}<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.small"#
            ),
        ),
        (
            format!(r#"{{"list":[{}1]}}"#, "1,".repeat(100_000)),
            format!("{invalid}spec.list: Too many: 100001: must have at most 3 items"),
        ),
        (
            r#"{"template":{"apiVersion":"v1","kind":5}}"#.to_owned(),
            "400 BadRequest: Widget in version \"v1\" cannot be handled as a Widget: spec.template.kind: Invalid value: \
             5: must be a string"
                .to_owned(),
        ),
        (
            r#"{"template":{"kind":"Pod"}}"#.to_owned(),
            format!("{invalid}spec.template.apiVersion: Required value"),
        ),
        (
            r#"{"template":{"apiVersion":"v1","kind":"Pod","metadata":{"labels":["a"]}}}"#.to_owned(),
            "400 BadRequest: Widget in version \"v1\" cannot be handled as a Widget: ".to_owned(),
        ),
        ("5".to_owned(), format!(r#"{invalid}spec: Invalid value: "integer": spec in body must be of type object: "integer""#)),
    ] {
        let got = cluster.api.send("POST", WIDGETS, &[], body(&spec)).await;
        let shown: String = got.problem().chars().take(400).collect();
        assert!(shown.starts_with(&wanted), "{}\n{shown}\n{wanted}", &spec[..spec.len().min(80)]);
    }
    assert_eq!(cluster.api.get(WIDGETS).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn unknown_fields_are_told_of_objects_within_objects_too() {
    let cluster = start().await;
    cluster.define(&with_spec(schema())).await;
    let spec = r#"{"size":1,"size":2,"any":{"x":1,"x":2},"template":{"apiVersion":"v1","kind":"Pod","colour":"red",
        "metadata":{"name":"t","colour":"red"},"spec":{"x":"1","y":"2"}}}"#;
    let problems = [
        r#"duplicate field "spec.size""#,
        r#"duplicate field "spec.any.x""#,
        r#"unknown field "spec.template.colour""#,
        r#"unknown field "spec.template.spec.y""#,
        r#"unknown field "spec.template.metadata.colour""#,
    ];
    let strict = cluster.api.send("POST", &format!("{WIDGETS}?fieldValidation=Strict"), &[], body(spec)).await;
    assert_eq!(
        strict.problem(),
        format!(
            "400 BadRequest: Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: {}",
            problems.join(", ")
        )
    );
    let kept = json!({
        "size": 2, "any": {"x": 2},
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "t"}, "spec": {"x": "1"}},
    });
    for (validation, warnings) in [("Warn", problems.len()), ("", problems.len()), ("Ignore", 0)] {
        let uri = format!("{WIDGETS}?dryRun=All&fieldValidation={validation}");
        let got = cluster.api.send("POST", &uri, &[], body(spec)).await;
        assert_eq!(got.headers.get_all("warning").iter().count(), warnings, "{validation:?}");
        assert_eq!(got.expect(201)["spec"], kept, "{validation:?}");
    }
}
