//! What conversion webhooks answer: whatever it is, what is taken over is the same object in the version asked for.
#![no_main]

use std::sync::LazyLock;

use kinds::KindDef;
use libfuzzer_sys::fuzz_target;
use machinery::Object;
use serde_json::{Value, json};

static KIND: LazyLock<&'static KindDef> = LazyLock::new(|| {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer", "default": 1}, "any": {"x-kubernetes-preserve-unknown-fields": true},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
    }}}});
    let version = json!({"name": "v2", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let definition = object(json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": [version],
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        },
    }));
    kinds::custom::family(&definition).storage
});

fn object(value: Value) -> Object {
    Object::from_value(value).expect("an object")
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut answer) = serde_json::from_slice::<Value>(bytes) else { return };
    let metadata = json!({"name": "a", "namespace": "default", "uid": "1", "labels": {"a": "b"}, "generation": 3});
    let original = object(json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata}));
    // A right frame, so that what is in it is looked at.
    if let Some(response) = answer.get_mut("response").and_then(Value::as_object_mut) {
        response.insert("uid".to_owned(), json!("u"));
        response.insert("result".to_owned(), json!({"status": "Success"}));
    }
    for version in ["v1", "v1beta1"] {
        let taken = registry::read_review(*KIND, &[original.clone()], (version, "u"), &answer);
        for made in taken.into_iter().flatten() {
            let same = |object: &Object| (object.name().to_owned(), object.uid().to_owned(), object.generation());
            assert_eq!((made.api_version(), same(&made)), ("example.com/v2", same(&original)));
        }
    }
});
