//! APIService.

use machinery::Object;
use serde_json::Value;

use crate::columns::{AGE, NAME};
use crate::def::{Column, KindDef, Scope, Strategy, Subresource};
use crate::tree::{child, condition, default, str_of};

const SERVICE_PORT: i32 = 443;

pub static API_SERVICE: KindDef = KindDef {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    resource: "apiservices",
    singular: "apiservice",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    schema: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Service", "Service that serves it", service),
        Column::string("Available", "Whether it answers", available),
        AGE,
    ],
    strategy: Strategy {
        default: |object| {
            let service = child(object.map_mut(&["spec"]), "service");
            service.into_iter().for_each(|service| default(service, "port", SERVICE_PORT));
        },
        generation: false,
        unconditional_update: false,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn service(object: &Object) -> Value {
    let field = |field| object.str(&["spec", "service", field]);
    match field("name") {
        "" => "Local".into(),
        name => format!("{}/{name}", field("namespace")).into(),
    }
}

fn available(object: &Object) -> Value {
    match condition(object, "Available") {
        Some(condition) if str_of(condition, "status") == "True" => "True".into(),
        Some(condition) => format!("{} ({})", str_of(condition, "status"), str_of(condition, "reason")).into(),
        None => "Unknown".into(),
    }
}
