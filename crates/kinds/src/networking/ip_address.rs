//! IPAddress.

use std::net::IpAddr;

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{dns1123_subdomain, path_segment_name};
use serde_json::Value;

use super::V1BETA1_GOES;
use crate::check::{At, immutable, optional_name, reference_parts};
use crate::columns::{NAME, NONE};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Scope, Strategy};

/// Labels of the addresses that the allocator of Service addresses makes.
pub const MANAGED_BY_LABEL: &str = "ipaddress.kubernetes.io/managed-by";
pub const ALLOCATOR: &str = "ipallocator.k8s.io";
const FAMILY_LABEL: &str = "ipaddress.kubernetes.io/ip-family";

/// The labels of an address that the allocator makes.
pub fn allocated_labels(address: IpAddr) -> [(&'static str, &'static str); 2] {
    [(FAMILY_LABEL, family(address)), (MANAGED_BY_LABEL, ALLOCATOR)]
}

pub fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

pub static IP_ADDRESS: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "IPAddress",
    resource: "ipaddresses",
    singular: "ipaddress",
    short_names: &["ip"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.networking.v1.IPAddress",
    columns: &[NAME, Column::string("ParentRef", Field("spec.parentRef"), parent)],
    strategy: Strategy { validate, validate_update, validate_name: address_name, ..Strategy::PLAIN },
    ..KindDef::PLAIN
};

pub static IP_ADDRESS_V1BETA1: KindDef = KindDef {
    deprecation: Some(V1BETA1_GOES),
    ..IP_ADDRESS.again_as("v1beta1", "io.k8s.api.networking.v1beta1.IPAddress")
};

/// `services/default/kubernetes`, with the group after the resource where there is one.
fn parent(address: &Object) -> Value {
    let field = |field| address.str(&["spec", "parentRef", field]);
    let parts = [field("resource"), field("group")].into_iter().filter(|part| !part.is_empty());
    let resource = parts.collect::<Vec<_>>().join(".").to_lowercase();
    match (field("name"), field("namespace")) {
        ("", _) => NONE.into(),
        (name, "") => format!("{resource}/{name}").into(),
        (name, namespace) => format!("{resource}/{namespace}/{name}").into(),
    }
}

fn validate(address: &Object) -> ErrorList {
    let parent = At::field(address, "spec").child("parentRef");
    if !parent.is_set() {
        return vec![parent.required("")];
    }
    let mut errors = optional_name(&parent.child("group"), dns1123_subdomain);
    errors.extend(reference_parts(&parent, &["resource", "name"]));
    errors.extend(optional_name(&parent.child("namespace"), path_segment_name));
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let parent = |address| At::field(address, "spec").child("parentRef");
    immutable(&parent(new), &parent(old)).into_iter().collect()
}

/// The name is the address itself, in its canonical form.
fn address_name(name: &str) -> Vec<String> {
    match name.parse::<IpAddr>() {
        Ok(address) if address.to_string() == name => Vec::new(),
        Ok(address) => vec![format!("must be in canonical form (\"{address}\")")],
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}
