//! What OpenAPI 2 and 3 write differently.

use serde_json::{Map, Value, json};

use super::operations::{Body, Operation};
use super::parameters::Parameter;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

const PRODUCED: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMED: &[&str] = &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM_PRODUCED: &[&str] = &["application/json", "application/yaml"];
const CUSTOM_PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

impl Dialect {
    pub fn reference(self, definition: &str) -> Value {
        match self {
            Self::V2 => json!({"$ref": format!("#/definitions/{definition}")}),
            Self::V3 => json!({"$ref": format!("#/components/schemas/{definition}")}),
        }
    }

    /// A reference that other words may stand beside: OpenAPI 3 ignores what is beside a `$ref`.
    pub fn described_reference(self, definition: &str) -> Value {
        match self {
            Self::V2 => self.reference(definition),
            Self::V3 => json!({"allOf": [self.reference(definition)]}),
        }
    }

    pub fn parameter(self, parameter: &Parameter) -> Value {
        let Parameter { name, description, of_type, place } = parameter;
        let mut value = match self {
            Self::V2 => json!({"type": of_type, "uniqueItems": true}),
            Self::V3 => json!({"schema": {"type": of_type, "uniqueItems": true}}),
        };
        value["name"] = json!(name);
        value["in"] = json!(place.name());
        value["description"] = json!(description);
        if place.is_required() {
            value["required"] = json!(true);
        }
        value
    }

    pub fn operation(self, operation: &Operation) -> Value {
        let mut value = json!({
            "description": operation.description,
            "operationId": operation.id,
            "tags": [operation.tag],
            "responses": self.responses(operation),
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind": operation.gvk,
        });
        let mut parameters: Vec<Value> = operation.parameters.iter().map(|one| self.parameter(one)).collect();
        match self {
            Self::V2 => {
                parameters.extend(operation.body.map(|body| self.body_parameter(operation, body)));
                let consumed = consumed(operation, operation.body);
                value["consumes"] = json!(consumed);
                value["produces"] = json!(produced(operation).collect::<Vec<_>>());
                value["schemes"] = json!(["https"]);
            }
            Self::V3 => {
                if let Some(body) = operation.body {
                    value["requestBody"] = self.request_body(operation, body);
                }
            }
        }
        if !parameters.is_empty() {
            value["parameters"] = Value::Array(parameters);
        }
        value
    }

    fn body_parameter(self, operation: &Operation, body: Body) -> Value {
        let mut value = json!({"in": "body", "name": "body", "schema": self.reference(body.definition(operation))});
        if body.is_required() {
            value["required"] = json!(true);
        }
        value
    }

    fn request_body(self, operation: &Operation, body: Body) -> Value {
        let types = consumed(operation, Some(body));
        let schema = json!({"schema": self.reference(body.definition(operation))});
        let content: Map<String, Value> = types.iter().map(|of| ((*of).to_owned(), schema.clone())).collect();
        if body.is_required() { json!({"content": content, "required": true}) } else { json!({"content": content}) }
    }

    fn responses(self, operation: &Operation) -> Value {
        let schema = match operation.answer.as_str() {
            "" => json!({"type": "string"}),
            definition => self.reference(definition),
        };
        let mut responses = Map::new();
        for code in operation.codes {
            let description = match code {
                201 => "Created",
                202 => "Accepted",
                _ => "OK",
            };
            responses.insert(code.to_string(), self.response(operation, description, &schema));
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        Value::Object(responses)
    }

    fn response(self, operation: &Operation, description: &str, schema: &Value) -> Value {
        match self {
            Self::V2 => json!({"description": description, "schema": schema}),
            Self::V3 => {
                let content = produced(operation).map(|of| (of.to_owned(), json!({"schema": schema})));
                json!({"description": description, "content": content.collect::<Map<String, Value>>()})
            }
        }
    }
}

fn consumed(operation: &Operation, body: Option<Body>) -> &'static [&'static str] {
    match (body, operation.custom) {
        (Some(Body::Patch), true) => CUSTOM_PATCHES,
        (Some(Body::Patch), false) => PATCHES,
        (None | Some(Body::Object | Body::DeleteOptions), true) => CUSTOM_PRODUCED,
        (None | Some(Body::Object | Body::DeleteOptions), false) => &["*/*"],
    }
}

fn produced(operation: &Operation) -> impl Iterator<Item = &'static str> {
    let streamed: &[&str] = if operation.action == "list" && !operation.custom { STREAMED } else { &[] };
    let produced: &[&str] = match (operation.action, operation.custom) {
        ("connect", _) => &["*/*"],
        (_, true) => CUSTOM_PRODUCED,
        (_, false) => PRODUCED,
    };
    produced.iter().chain(streamed).copied()
}
