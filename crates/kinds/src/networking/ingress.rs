//! Ingress.

use machinery::Object;
use serde_json::json;

use super::ingress_validate;
use crate::columns::{AGE, NAME, balancer_addresses, text_or_none};
use crate::def::Description::Text;
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
        Column::string(
            "Class",
            Text("The name of the IngressClass resource that should be used for additional configuration"),
            |ingress| text_or_none(ingress, &["spec", "ingressClassName"]),
        ),
        Column::string(
            "Hosts",
            Text("Hosts that incoming requests are matched against before the ingress rule"),
            |ingress| hosts(ingress).into(),
        ),
        Column::string(
            "Address",
            Text("Address is a list containing ingress points for the load-balancer"),
            |ingress| balancer_addresses(ingress).into(),
        ),
        Column::string("Ports", Text("Ports of TLS configurations that open"), |ingress| {
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
    let rules = ingress.list(&["spec", "rules"]);
    let (mut hosts, mut more) = (Vec::new(), false);
    for host in rules.iter().map(|rule| str_of(rule, "host")) {
        // Upstream counts every rule from here on, whether it has a host or not.
        more |= hosts.len() == SHOWN_MAX;
        if !more && !host.is_empty() {
            hosts.push(host);
        }
    }
    match hosts.join(",") {
        none if none.is_empty() => "*".to_owned(),
        shown if more => format!("{shown} + {} more...", rules.len() - SHOWN_MAX),
        shown => shown,
    }
}
