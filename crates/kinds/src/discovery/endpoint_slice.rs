//! EndpointSlice.

use machinery::Object;
use serde_json::{Value, json};

use crate::columns::{AGE, NAME, UNSET, first_few};
use crate::def::{Column, KindDef, Strategy};
use crate::tree::{default, each, list_of, present};

/// As many ports or endpoints as a cell shows.
const SHOWN_MAX: usize = 3;

pub static ENDPOINT_SLICE: KindDef = KindDef {
    group: "discovery.k8s.io",
    kind: "EndpointSlice",
    resource: "endpointslices",
    singular: "endpointslice",
    schema: "io.k8s.api.discovery.v1.EndpointSlice",
    columns: &[
        NAME,
        Column::string("AddressType", "What the addresses are", |slice| slice.str(&["addressType"]).into()),
        Column::string("Ports", "Ports of every endpoint", |slice| ports(slice).into()),
        Column::string("Endpoints", "Addresses of the endpoints", |slice| endpoints(slice).into()),
        AGE,
    ],
    strategy: Strategy { default: default_slice, generation: true, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

fn default_slice(slice: &mut Object) {
    each(&mut slice.0, "ports", |port| {
        default(port, "name", "");
        default(port, "protocol", "TCP");
    });
    slice.0.entry("ports").or_insert(Value::Null);
    slice.0.entry("endpoints").or_insert(Value::Null);
    each(&mut slice.0, "endpoints", |endpoint| default(endpoint, "conditions", json!({})));
}

fn ports(slice: &Object) -> String {
    let texts: Vec<String> = slice
        .list(&["ports"])
        .iter()
        .map(|port| present(port, "port").map_or_else(|| "*".to_owned(), Value::to_string))
        .collect();
    if texts.is_empty() { UNSET.to_owned() } else { few(&texts) }
}

fn endpoints(slice: &Object) -> String {
    let addresses = slice.list(&["endpoints"]).iter().flat_map(|endpoint| list_of(endpoint, "addresses"));
    let texts: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    if texts.is_empty() { UNSET.to_owned() } else { few(&texts) }
}

fn few(texts: &[String]) -> String {
    first_few(texts, SHOWN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_endpoints_are_shown_up_to_three() {
        let slice = Object::from_value(json!({
            "ports": [{"port": 80}, {}],
            "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.3"]}, {"addresses": ["10.0.0.4"]}],
        })).unwrap();
        assert_eq!(ports(&slice), "80,*");
        assert_eq!(endpoints(&slice), "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...");
        assert_eq!(ports(&Object::default()), "<unset>");
    }
}
