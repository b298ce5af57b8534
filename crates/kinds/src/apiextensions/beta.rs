//! apiextensions.k8s.io/v1beta1, in which kube-apiserver still stores definitions: what versions have alike lies
//! beside them. (upstream: apiextensions/v1beta1/conversion.go and v1/conversion.go)

use machinery::Object;
use serde_json::{Value, json};

use crate::def::Retired;
use crate::tree::{Map, child, child_or_new, each};

pub(super) const V1BETA1: Retired = Retired { version: "v1beta1", to_storage: to_v1 };

/// What stands beside the versions, and where each has it in v1.
const SHARED: &[(&str, &str)] = &[
    ("validation", "schema"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

fn to_v1(definition: &mut Object) {
    let Some(spec) = child(&mut definition.0, "spec") else { return };
    let first = spec.remove("version");
    if let (None, Some(first)) = (spec.get("versions"), first) {
        spec.insert("versions".to_owned(), json!([{"name": first, "served": true, "storage": true}]));
    }
    for (beside, within) in SHARED {
        if let Some(shared) = spec.remove(*beside) {
            each(spec, "versions", |version| {
                version.entry(*within).or_insert_with(|| shared.clone());
            });
        }
    }
    each(spec, "versions", |version| each(version, "additionalPrinterColumns", rename_path));
    if spec.get("preserveUnknownFields") == Some(&Value::Bool(false)) {
        spec.remove("preserveUnknownFields");
    }
    if let Some(conversion) = child(spec, "conversion") {
        nest_webhook(conversion);
    }
}

fn rename_path(column: &mut Map) {
    if let Some(path) = column.remove("JSONPath") {
        column.insert("jsonPath".to_owned(), path);
    }
}

fn nest_webhook(conversion: &mut Map) {
    for (beside, within) in
        [("webhookClientConfig", "clientConfig"), ("conversionReviewVersions", "conversionReviewVersions")]
    {
        if let Some(value) = conversion.remove(beside) {
            child_or_new(conversion, "webhook").insert(within.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_of_v1beta1_is_read_as_v1() {
        let path = |name: &str| json!([{"name": "Size", "type": "integer", name: ".spec.size"}]);
        let client = json!({"service": {"namespace": "n", "name": "s", "port": 443}, "caBundle": "YQ=="});
        let table = [
            (
                json!({"version": "v1", "validation": {"openAPIV3Schema": {"type": "object"}}, "subresources": {"status": {}},
                    "additionalPrinterColumns": path("JSONPath"), "selectableFields": [{"jsonPath": ".spec.size"}],
                    "versions": [{"name": "v1", "served": true, "storage": true}],
                    "conversion": {"strategy": "None"}, "preserveUnknownFields": false}),
                json!({"versions": [{"name": "v1", "served": true, "storage": true,
                        "schema": {"openAPIV3Schema": {"type": "object"}}, "subresources": {"status": {}},
                        "additionalPrinterColumns": path("jsonPath"), "selectableFields": [{"jsonPath": ".spec.size"}]}],
                    "conversion": {"strategy": "None"}}),
            ),
            (
                json!({"version": "v2", "preserveUnknownFields": false, "versions": [
                        {"name": "v2", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}},
                        {"name": "v1", "served": true, "storage": false, "additionalPrinterColumns": path("JSONPath")}],
                    "conversion": {"strategy": "Webhook", "webhookClientConfig": client,
                        "conversionReviewVersions": ["v1"]}}),
                json!({"versions": [
                        {"name": "v2", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}},
                        {"name": "v1", "served": true, "storage": false, "additionalPrinterColumns": path("jsonPath")}],
                    "conversion": {"strategy": "Webhook",
                        "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}}),
            ),
            (
                json!({"version": "v1", "preserveUnknownFields": true}),
                json!({"versions": [{"name": "v1", "served": true, "storage": true}], "preserveUnknownFields": true}),
            ),
        ];
        for (stored, expected) in table {
            let mut definition = Object::from_value(json!({"spec": stored})).unwrap();
            to_v1(&mut definition);
            assert_eq!(definition.get(&["spec"]), Some(&expected));
        }
    }
}
