//! Secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::Object;
use serde_json::{Map, Value};

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, SelectableField, Strategy};
use crate::tree::default_text;

pub static SECRET: KindDef = KindDef {
    kind: "Secret",
    resource: "secrets",
    singular: "secret",
    schema: "io.k8s.api.core.v1.Secret",
    selectable_fields: &[SelectableField { name: "type", value: |secret| secret.str(&["type"]).to_owned() }],
    columns: &[
        NAME,
        Column::string("Type", "What the data is", |secret| secret.str(&["type"]).into()),
        Column::integer("Data", "Number of entries", |secret| secret.map(&["data"]).map_or(0, Map::len).into()),
        AGE,
    ],
    strategy: Strategy { default: default_secret, prepare_update: keep_type, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn default_secret(secret: &mut Object) {
    default_text(&mut secret.0, "type", "Opaque");
    merge_string_data(secret);
}

/// `stringData` is for writing only: its entries take their place in `data`, encoded.
fn merge_string_data(secret: &mut Object) {
    let Some(Value::Object(texts)) = secret.remove(&["stringData"]) else { return };
    for (key, text) in texts {
        let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
        secret.set(&["data", &key], encoded);
    }
}

fn keep_type(new: &mut Object, old: &Object) {
    if new.str(&["type"]).is_empty() {
        new.set(&["type"], old.str(&["type"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn string_data_goes_into_data() {
        let mut secret =
            Object::from_value(json!({"data": {"a": "eA==", "b": "eA=="}, "stringData": {"a": "secret"}})).unwrap();
        default_secret(&mut secret);
        assert_eq!(secret.into_value(), json!({"type": "Opaque", "data": {"a": "c2VjcmV0", "b": "eA=="}}));
    }
}
