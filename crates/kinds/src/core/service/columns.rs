//! What `kubectl get services` prints.

use machinery::Object;
use serde_json::Value;

use crate::columns::{AGE, NAME, NONE, balancer_addresses, format_labels, text_or_none};
use crate::def::Column;
use crate::def::Description::Field;
use crate::tree::{int_of, str_of};

pub const COLUMNS: &[Column] = &[
    NAME,
    Column::string("Type", Field("spec.type"), |service| service.str(&["spec", "type"]).into()),
    Column::string("Cluster-IP", Field("spec.clusterIP"), |service| text_or_none(service, &["spec", "clusterIP"])),
    Column::string("External-IP", Field("spec.externalIPs"), |service| external_ip(service).into()),
    Column::string("Port(s)", Field("spec.ports"), |service| ports(service).into()),
    AGE,
    Column::string("Selector", Field("spec.selector"), |service| {
        format_labels(service.map(&["spec", "selector"])).into()
    })
    .wide(),
];

fn external_ip(service: &Object) -> String {
    let ips: Vec<&str> = service.list(&["spec", "externalIPs"]).iter().filter_map(Value::as_str).collect();
    let or = |otherwise: &str| if ips.is_empty() { otherwise.to_owned() } else { ips.join(",") };
    match service.str(&["spec", "type"]) {
        "ClusterIP" | "NodePort" => or(NONE),
        "LoadBalancer" => load_balancer(service, &ips),
        "ExternalName" => service.str(&["spec", "externalName"]).to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn load_balancer(service: &Object, ips: &[&str]) -> String {
    let addresses = balancer_addresses(service);
    match (ips.is_empty(), addresses.is_empty()) {
        (true, true) => "<pending>".to_owned(),
        (true, false) => addresses,
        (false, true) => ips.join(","),
        (false, false) => format!("{addresses},{}", ips.join(",")),
    }
}

fn ports(service: &Object) -> String {
    let texts: Vec<String> = service
        .list(&["spec", "ports"])
        .iter()
        .map(|port| {
            let (number, protocol) = (int_of(port, "port"), str_of(port, "protocol"));
            match int_of(port, "nodePort") {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    if texts.is_empty() { NONE.to_owned() } else { texts.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_and_ports_print_as_upstream_prints_them() {
        let of = |spec: Value, status: Value| {
            let service = Object::from_value(json!({"spec": spec, "status": status})).unwrap();
            (external_ip(&service), ports(&service))
        };
        let cases = [
            (json!({"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP"}]}), json!({}), "<none>", "80/TCP"),
            (
                json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
                json!({}),
                "<none>",
                "80:30080/TCP,53/UDP",
            ),
            (json!({"type": "LoadBalancer"}), json!({}), "<pending>", "<none>"),
            (
                json!({"type": "LoadBalancer"}),
                json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}),
                "1.2.3.4",
                "<none>",
            ),
            (json!({"type": "ExternalName", "externalName": "example.com"}), json!({}), "example.com", "<none>"),
        ];
        for (spec, status, address, port) in cases {
            assert_eq!(of(spec.clone(), status), (address.to_owned(), port.to_owned()), "{spec}");
        }
    }
}
