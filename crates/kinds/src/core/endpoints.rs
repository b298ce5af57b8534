//! Endpoints.

use std::net::IpAddr;

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{dns1123_label, dns1123_subdomain, port_number, qualified_name};
use serde_json::Value;

use crate::check::{At, optional_name, required_one_of, validate_ip};
use crate::columns::{AGE, NAME, NONE, first_few};
use crate::def::Description::Field;
use crate::def::{Column, Deprecation, KindDef, Strategy};
use crate::tree::{default_text, each, int_of, list_of, str_of};

/// As many endpoints as a cell shows.
const SHOWN_MAX: usize = 3;

pub static ENDPOINTS: KindDef = KindDef {
    kind: "Endpoints",
    resource: "endpoints",
    singular: "endpoints",
    short_names: &["ep"],
    schema: "io.k8s.api.core.v1.Endpoints",
    columns: &[NAME, Column::string("Endpoints", Field("subsets"), endpoints), AGE],
    strategy: Strategy { default: default_endpoints, validate, create_on_update: true, ..Strategy::PLAIN },
    deprecation: Some(Deprecation { since: "1.33", removed: "", replacement: "discovery.k8s.io/v1 EndpointSlice" }),
    ..KindDef::PLAIN
};

fn default_endpoints(object: &mut Object) {
    each(&mut object.0, "subsets", |subset| each(subset, "ports", |port| default_text(port, "protocol", "TCP")));
}

fn endpoints(object: &Object) -> Value {
    let subsets = object.list(&["subsets"]);
    let ready: Vec<String> = subsets.iter().flat_map(ready_of).collect();
    if subsets.is_empty() { NONE.into() } else { first_few(&ready, SHOWN_MAX).into() }
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

fn validate(object: &Object) -> ErrorList {
    At::field(object, "subsets").items().iter().flat_map(validate_subset).collect()
}

fn validate_subset(subset: &At) -> ErrorList {
    let [ready, others, ports] = ["addresses", "notReadyAddresses", "ports"].map(|field| subset.child(field));
    let mut errors = ErrorList::new();
    if ready.is_empty() && others.is_empty() {
        errors.push(subset.required("must specify `addresses` or `notReadyAddresses`"));
    }
    for address in ready.items().iter().chain(&others.items()) {
        let ip = address.child("ip");
        errors.extend(validate_ip(&ip));
        errors.extend(optional_name(&address.child("hostname"), dns1123_label));
        errors.extend(optional_name(&address.child("nodeName"), dns1123_subdomain));
        errors.extend(ip.messages(special_address(ip.text())));
    }
    let several = ports.items().len() > 1;
    for port in ports.items() {
        let (name, number) = (port.child("name"), port.child("port"));
        if several && name.is_empty() {
            errors.push(name.required(""));
        }
        errors.extend(optional_name(&name, dns1123_label));
        errors.extend(number.messages(port_number(number.int().unwrap_or(0))));
        errors.extend(required_one_of(&port.child("protocol"), &["SCTP", "TCP", "UDP"]));
        errors.extend(optional_name(&port.child("appProtocol"), qualified_name));
    }
    errors
}

/// An endpoint is an address that can be reached from elsewhere.
pub fn special_address(text: &str) -> Vec<String> {
    let Ok(address) = text.parse::<IpAddr>() else { return vec!["must be a valid IP address".to_owned()] };
    let unspecified = format!("may not be unspecified ({text})");
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] == 0xff02),
    };
    let checks = [
        (address.is_unspecified(), unspecified.as_str()),
        (address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ];
    checks.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text.to_owned()).collect()
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
        assert_eq!(of(&[]), "");
        assert_eq!(of(&["10.0.0.1", "fd00::1"]), "10.0.0.1:80,[fd00::1]:80");
        assert_eq!(of(&["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]), "1.1.1.1:80,2.2.2.2:80,3.3.3.3:80 + 1 more...");
    }
}
