//! ConfigMap.

use machinery::Object;
use machinery::field::{Error, ErrorList, Path};
use machinery::validation::config_map_key;
use serde_json::{Map, Value};

use crate::check::{At, same};
use crate::columns::{AGE, NAME};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Strategy};

pub static CONFIG_MAP: KindDef = KindDef {
    kind: "ConfigMap",
    resource: "configmaps",
    singular: "configmap",
    short_names: &["cm"],
    schema: "io.k8s.api.core.v1.ConfigMap",
    columns: &[NAME, Column::string("Data", Field("data"), entries), AGE],
    strategy: Strategy { validate, validate_update: unchanged_if_immutable, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn entries(object: &Object) -> Value {
    let count = |field| object.map(&[field]).map_or(0, Map::len);
    (count("data") + count("binaryData")).into()
}

/// Bytes that the data of a ConfigMap or a Secret may have.
pub const SIZE_MAX: usize = 1024 * 1024;
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

fn validate(object: &Object) -> ErrorList {
    let (data, binary) = (At::field(object, "data"), At::field(object, "binaryData"));
    let mut errors = ErrorList::new();
    for (key, at) in data.entries() {
        errors.extend(validate_key(key, &at.path));
        if binary.child(key).is_set() {
            errors.push(Error::invalid(&at.path, key, "duplicate of key present in binaryData"));
        }
    }
    for (key, at) in binary.entries() {
        errors.extend(validate_key(key, &at.path));
    }
    let texts: usize = data.entries().iter().map(|(_, at)| at.text().len()).sum();
    let bytes: usize = binary.entries().iter().map(|(_, at)| decoded_length(at.text())).sum();
    if texts + bytes > SIZE_MAX {
        errors.push(Error::too_long(&Path::new(""), SIZE_MAX));
    }
    errors
}

pub fn validate_key(key: &str, path: &Path) -> ErrorList {
    config_map_key(key).into_iter().map(|message| Error::invalid(path, key, message)).collect()
}

/// The bytes that a base64 text stands for.
pub fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// What is marked immutable stays so, and its data with it.
pub fn unchanged_if_immutable(new: &Object, old: &Object) -> ErrorList {
    if !old.bool(&["immutable"]) {
        return ErrorList::new();
    }
    let mut errors = ErrorList::new();
    if !new.bool(&["immutable"]) {
        errors.push(Error::forbidden(&Path::new("immutable"), IMMUTABLE));
    }
    for field in ["data", "binaryData"] {
        let (now, was) = (At::field(new, field), At::field(old, field));
        if !same(now.value, was.value) {
            errors.push(now.forbidden(IMMUTABLE));
        }
    }
    errors
}
