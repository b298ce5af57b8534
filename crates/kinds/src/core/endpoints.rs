//! Endpoints.

use machinery::Object;
use serde_json::Value;

use crate::columns::{AGE, NAME, first_few};
use crate::def::{Column, KindDef, Strategy};
use crate::tree::{default_text, each, int_of, list_of, str_of};

/// As many endpoints as a cell shows.
const SHOWN_MAX: usize = 3;

pub static ENDPOINTS: KindDef = KindDef {
    kind: "Endpoints",
    resource: "endpoints",
    singular: "endpoints",
    short_names: &["ep"],
    schema: "io.k8s.api.core.v1.Endpoints",
    columns: &[NAME, Column::string("Endpoints", "Addresses and ports that are ready", endpoints), AGE],
    strategy: Strategy { default: default_endpoints, create_on_update: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn default_endpoints(object: &mut Object) {
    each(&mut object.0, "subsets", |subset| each(subset, "ports", |port| default_text(port, "protocol", "TCP")));
}

fn endpoints(object: &Object) -> Value {
    let ready: Vec<String> = object.list(&["subsets"]).iter().flat_map(ready_of).collect();
    first_few(&ready, SHOWN_MAX).into()
}

fn ready_of(subset: &Value) -> Vec<String> {
    let addresses = list_of(subset, "addresses").iter().map(|address| str_of(address, "ip").to_owned());
    let ports = list_of(subset, "ports");
    if ports.is_empty() {
        return addresses.collect();
    }
    let addresses: Vec<String> = addresses.collect();
    let of_port = |port: &Value| {
        let number = int_of(port, "port");
        addresses.iter().map(move |address| join_host_port(address, number)).collect::<Vec<_>>()
    };
    ports.iter().flat_map(of_port).collect()
}

fn join_host_port(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_shows_three_endpoints() {
        let of = |ips: &[&str]| {
            let addresses: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
            endpoints(
                &Object::from_value(json!({"subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]})).unwrap(),
            )
        };
        assert_eq!(of(&[]), "<none>");
        assert_eq!(of(&["10.0.0.1", "fd00::1"]), "10.0.0.1:80,[fd00::1]:80");
        assert_eq!(of(&["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]), "1.1.1.1:80,2.2.2.2:80,3.3.3.3:80 + 1 more...");
    }
}
