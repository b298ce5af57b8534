//! APIService.

use crate::def::{KindDef, Scope, Strategy, Subresource};

pub static API_SERVICE: KindDef = KindDef {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    resource: "apiservices",
    singular: "apiservice",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    subresources: &[Subresource::Status],
    strategy: Strategy { generation: false, unconditional_update: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};
