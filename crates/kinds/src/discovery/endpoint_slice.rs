//! EndpointSlice.

use std::collections::HashSet;
use std::net::IpAddr;

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{
    dns1123_label, dns1123_subdomain, label_value, port_number, qualified_name, validate_labels,
};
use serde_json::{Value, json};

use crate::check::{At, immutable, optional_name, required_one_of, same};
use crate::columns::{AGE, NAME, UNSET, first_few, non_empty, scalar};
use crate::core::special_address;
use crate::def::Description::Field;
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
        Column::string("AddressType", Field("addressType"), |slice| slice.str(&["addressType"]).into()),
        Column::string("Ports", Field("ports"), |slice| ports(slice).into()),
        Column::string("Endpoints", Field("endpoints"), |slice| endpoints(slice).into()),
        AGE,
    ],
    strategy: Strategy {
        default: default_slice,
        prepare_create: drop_topology,
        prepare_update: |new, old| {
            if !same(At::field(new, "endpoints").value, At::field(old, "endpoints").value) {
                drop_topology(new);
            }
        },
        validate,
        validate_update,
        warnings,
        generation: true,
        ..Strategy::PLAIN
    },
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

/// The topology of older versions is kept where it is, but not written.
fn drop_topology(slice: &mut Object) {
    each(&mut slice.0, "endpoints", |endpoint| drop(endpoint.remove("deprecatedTopology")));
}

fn warnings(slice: &Object) -> Vec<String> {
    let old = slice.str(&["addressType"]) == "FQDN";
    old.then(|| "spec.addressType: FQDN endpoints are deprecated".to_owned()).into_iter().collect()
}

fn ports(slice: &Object) -> String {
    few(&slice.list(&["ports"]).iter().map(port_number_or_name).collect::<Vec<_>>())
}

fn port_number_or_name(port: &Value) -> String {
    let known = present(port, "port").or_else(|| present(port, "name"));
    known.map_or_else(|| "*".to_owned(), scalar)
}

fn endpoints(slice: &Object) -> String {
    let addresses = slice.list(&["endpoints"]).iter().flat_map(|endpoint| list_of(endpoint, "addresses"));
    few(&addresses.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
}

fn few(texts: &[String]) -> String {
    non_empty(&first_few(texts, SHOWN_MAX), UNSET).to_owned()
}

const ENDPOINTS_MAX: usize = 1000;
const PORTS_MAX: usize = 20_000;
const ADDRESSES_MAX: usize = 100;
const TOPOLOGY_MAX: usize = 16;
const HINTS_MAX: usize = 8;
const ZONE: &str = "topology.kubernetes.io/zone";
const ADDRESS_TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];

fn validate(slice: &Object) -> ErrorList {
    let (of_type, endpoints) = (At::field(slice, "addressType"), At::field(slice, "endpoints"));
    let mut errors: ErrorList = required_one_of(&of_type, ADDRESS_TYPES).into_iter().collect();
    let items = endpoints.items();
    if items.len() > ENDPOINTS_MAX {
        errors.push(Error::too_many(&endpoints.path, items.len(), ENDPOINTS_MAX));
        return errors;
    }
    errors.extend(items.iter().flat_map(|endpoint| validate_endpoint(endpoint, of_type.text())));
    errors.extend(validate_ports(&At::field(slice, "ports")));
    errors
}

fn validate_endpoint(endpoint: &At, of_type: &str) -> ErrorList {
    let addresses = endpoint.child("addresses");
    let items = addresses.items();
    let mut errors = ErrorList::new();
    if items.is_empty() {
        errors.push(addresses.required("must contain at least 1 address"));
    } else if items.len() > ADDRESSES_MAX {
        errors.push(Error::too_many(&addresses.path, items.len(), ADDRESSES_MAX));
    }
    errors.extend(items.iter().flat_map(|address| validate_address(address, of_type)));
    errors.extend(optional_name(&endpoint.child("nodeName"), dns1123_subdomain));
    let topology = endpoint.child("deprecatedTopology");
    let labels = topology.strings();
    if labels.len() > TOPOLOGY_MAX {
        errors.push(Error::too_many(&topology.path, labels.len(), TOPOLOGY_MAX));
    }
    errors.extend(validate_labels(&labels, &topology.path));
    if labels.contains_key(ZONE) {
        errors.push(Error::internal(&topology.path.key(ZONE), "reserved key was not removed in conversion"));
    }
    errors.extend(optional_name(&endpoint.child("hostname"), dns1123_label));
    for field in ["forZones", "forNodes"] {
        errors.extend(validate_hints(&endpoint.child("hints").child(field), field == "forZones"));
    }
    errors
}

fn validate_hints(hints: &At, zones: bool) -> ErrorList {
    let items = hints.items();
    if items.len() > HINTS_MAX {
        return vec![Error::too_many(&hints.path, items.len(), HINTS_MAX)];
    }
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for name in items.iter().map(|hint| hint.child("name")) {
        errors.extend((!seen.insert(name.text())).then(|| name.duplicate()));
        errors.extend(name.check(if zones { label_value } else { dns1123_subdomain }));
    }
    errors
}

fn validate_address(address: &At, of_type: &str) -> ErrorList {
    let parsed = address.text().parse::<IpAddr>().ok();
    let problem = match of_type {
        "IPv4" if !parsed.is_some_and(|ip| ip.is_ipv4()) => "must be a valid IPv4 address",
        "IPv6" if !parsed.is_some_and(|ip| ip.is_ipv6()) => "must be a valid IPv6 address",
        "IPv4" | "IPv6" => return address.messages(special_address(address.text())),
        "FQDN" => return address.check(dns1123_subdomain),
        _ => return ErrorList::new(),
    };
    vec![address.invalid(problem)]
}

fn validate_ports(ports: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut names = HashSet::new();
    if ports.items().len() > PORTS_MAX {
        errors.push(Error::too_many(&ports.path, ports.items().len(), PORTS_MAX));
        return errors;
    }
    for port in ports.items() {
        let (name, number) = (port.child("name"), port.child("port"));
        errors.extend(optional_name(&name, dns1123_label));
        if !names.insert(name.text()) {
            errors.push(name.duplicate());
        }
        errors.extend(required_one_of(&port.child("protocol"), &["SCTP", "TCP", "UDP"]));
        errors.extend(number.int().map_or_else(ErrorList::new, |value| number.messages(port_number(value))));
        errors.extend(optional_name(&port.child("appProtocol"), qualified_name));
    }
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    immutable(&At::field(new, "addressType"), &At::field(old, "addressType")).into_iter().collect()
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
