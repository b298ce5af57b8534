//! ConfigMap.

use machinery::Object;
use serde_json::{Map, Value};

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Strategy};

pub static CONFIG_MAP: KindDef = KindDef {
    kind: "ConfigMap",
    resource: "configmaps",
    singular: "configmap",
    short_names: &["cm"],
    schema: "io.k8s.api.core.v1.ConfigMap",
    columns: &[NAME, Column::integer("Data", "Number of entries", entries), AGE],
    strategy: Strategy::PLAIN,
    ..KindDef::PLAIN
};

fn entries(object: &Object) -> Value {
    let count = |field| object.map(&[field]).map_or(0, Map::len);
    (count("data") + count("binaryData")).into()
}
