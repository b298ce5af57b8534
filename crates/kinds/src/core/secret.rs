//! Secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::Object;
use machinery::field::{Error, ErrorList};
use serde_json::{Map, Value};

use super::config_map::{SIZE_MAX, decoded_length, unchanged_if_immutable, validate_key};
use crate::check::{At, immutable};
use crate::columns::{AGE, NAME};
use crate::def::Description::Field;
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
        Column::string("Type", Field("type"), |secret| secret.str(&["type"]).into()),
        Column::string("Data", Field("data"), |secret| secret.map(&["data"]).map_or(0, Map::len).into()),
        AGE,
    ],
    strategy: Strategy {
        default: default_secret,
        prepare_update: keep_type,
        validate,
        validate_update,
        ..Strategy::PLAIN
    },
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

fn validate(secret: &Object) -> ErrorList {
    let data = At::field(secret, "data");
    let mut errors = ErrorList::new();
    for (key, at) in data.entries() {
        errors.extend(validate_key(key, &at.path));
    }
    let size: usize = data.entries().iter().map(|(_, at)| decoded_length(at.text())).sum();
    if size > SIZE_MAX {
        errors.push(Error::too_long(&data.path, SIZE_MAX));
    }
    errors.extend(validate_type(secret, &data));
    errors
}

/// Some types promise certain entries.
fn validate_type(secret: &Object, data: &At) -> ErrorList {
    let entry = |key: &str| At { value: data.child(key).value, path: data.path.key(key) };
    let missing = |key: &str| (!entry(key).is_set()).then(|| entry(key).required(""));
    match secret.str(&["type"]) {
        "kubernetes.io/service-account-token" => {
            let annotations = At::field(secret, "metadata").child("annotations");
            let key = "kubernetes.io/service-account.name";
            let named = !annotations.child(key).is_empty();
            (!named).then(|| Error::required(&annotations.path.key(key), "")).into_iter().collect()
        }
        "kubernetes.io/dockercfg" => validate_json(&entry(".dockercfg")),
        "kubernetes.io/dockerconfigjson" => validate_json(&entry(".dockerconfigjson")),
        "kubernetes.io/basic-auth" if !entry("username").is_set() && !entry("password").is_set() => {
            ["username", "password"].into_iter().filter_map(missing).collect()
        }
        "kubernetes.io/ssh-auth" => missing("ssh-privatekey").into_iter().collect(),
        "kubernetes.io/tls" => ["tls.crt", "tls.key"].into_iter().filter_map(missing).collect(),
        _ => ErrorList::new(),
    }
}

fn validate_json(entry: &At) -> ErrorList {
    if !entry.is_set() {
        return vec![entry.required("")];
    }
    let decoded = STANDARD.decode(entry.text()).unwrap_or_default();
    match serde_json::from_slice::<Map<String, Value>>(&decoded) {
        Ok(_) => ErrorList::new(),
        Err(error) => vec![Error::invalid(&entry.path, "<secret contents redacted>", error.to_string())],
    }
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let mut errors: ErrorList = immutable(&At::field(new, "type"), &At::field(old, "type")).into_iter().collect();
    errors.extend(unchanged_if_immutable(new, old));
    errors
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
