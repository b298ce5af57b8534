//! CustomResourceDefinition.

use crate::def::{KindDef, Scope, Strategy, Subresource};

pub static CUSTOM_RESOURCE_DEFINITION: KindDef = KindDef {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    resource: "customresourcedefinitions",
    singular: "customresourcedefinition",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    subresources: &[Subresource::Status],
    strategy: Strategy { unconditional_update: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
