//! Ingress.

use machinery::Object;
use serde_json::{Value, json};

use super::ingress_validate;
use crate::columns::{AGE, NAME, text_or_none};
use crate::def::{Column, KindDef, Strategy, Subresource};
use crate::tree::str_of;

/// As many hosts as a cell shows.
const SHOWN_MAX: usize = 3;

pub static INGRESS: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "Ingress",
    resource: "ingresses",
    singular: "ingress",
    short_names: &["ing"],
    schema: "io.k8s.api.networking.v1.Ingress",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("Class", "Ingress class that serves it", |ingress| {
            text_or_none(ingress, &["spec", "ingressClassName"])
        }),
        Column::string("Hosts", "Host names it routes", |ingress| hosts(ingress).into()),
        Column::string("Address", "Addresses it is reached by", addresses),
        Column::string("Ports", "Ports it is reached by", |ingress| {
            if ingress.list(&["spec", "tls"]).is_empty() { "80" } else { "80, 443" }.into()
        }),
        AGE,
    ],
    strategy: Strategy {
        default: |ingress| ingress.set_default(&["status", "loadBalancer"], json!({})),
        validate: ingress_validate::validate,
        validate_create: ingress_validate::validate_create,
        validate_status_update: ingress_validate::validate_status_update,
        warnings: ingress_validate::warnings,
        prepare_create: |ingress| ingress.set(&["status"], json!({"loadBalancer": {}})),
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn hosts(ingress: &Object) -> String {
    let rules = ingress.list(&["spec", "rules"]).iter();
    let hosts: Vec<&str> = rules.map(|rule| str_of(rule, "host")).filter(|host| !host.is_empty()).collect();
    match hosts.len() {
        0 => "*".to_owned(),
        count if count > SHOWN_MAX => format!("{} + {} more...", hosts[..SHOWN_MAX].join(","), count - SHOWN_MAX),
        _ => hosts.join(","),
    }
}

fn addresses(ingress: &Object) -> Value {
    let of = |entry: &Value| match str_of(entry, "ip") {
        "" => str_of(entry, "hostname").to_owned(),
        ip => ip.to_owned(),
    };
    let entries = ingress.list(&["status", "loadBalancer", "ingress"]);
    entries.iter().map(of).collect::<Vec<_>>().join(",").into()
}
