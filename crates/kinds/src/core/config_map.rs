//! ConfigMap.

use crate::def::KindDef;

pub static CONFIG_MAP: KindDef = KindDef {
    kind: "ConfigMap",
    resource: "configmaps",
    singular: "configmap",
    short_names: &["cm"],
    schema: "io.k8s.api.core.v1.ConfigMap",
    ..KindDef::PLAIN
};
