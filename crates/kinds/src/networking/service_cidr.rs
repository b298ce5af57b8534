//! ServiceCIDR.

use machinery::Object;
use machinery::field::{Error, ErrorList};
use serde_json::{Value, json};

use super::V1BETA1_GOES;
use crate::check::{At, IMMUTABLE, immutable, is_cidr};
use crate::columns::{AGE, NAME};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Scope, Strategy, Subresource};

/// The name of the range that the cluster starts with.
pub const DEFAULT_SERVICE_CIDR: &str = "kubernetes";

pub static SERVICE_CIDR: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "ServiceCIDR",
    resource: "servicecidrs",
    singular: "servicecidr",
    scope: Scope::Cluster,
    schema: "io.k8s.api.networking.v1.ServiceCIDR",
    subresources: &[Subresource::Status],
    columns: &[
        NAME,
        Column::string("CIDRs", Field("spec.cidrs"), |cidr| {
            let ranges = cidr.list(&["spec", "cidrs"]).iter().filter_map(Value::as_str);
            ranges.collect::<Vec<_>>().join(",").into()
        }),
        AGE,
    ],
    strategy: Strategy { validate, validate_update, generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};

pub static SERVICE_CIDR_V1BETA1: KindDef = KindDef {
    deprecation: Some(V1BETA1_GOES),
    ..SERVICE_CIDR.again_as("v1beta1", "io.k8s.api.networking.v1beta1.ServiceCIDR")
};

fn validate(object: &Object) -> ErrorList {
    let ranges = At::field(object, "spec").child("cidrs");
    let items = ranges.items();
    // Upstream shows the spec, as it has it inside.
    let wrong = |text: &str| vec![Error::invalid(&ranges.path, json!({"CIDRs": ranges.value}), text)];
    match &items[..] {
        [] => return vec![ranges.required("at least one CIDR required")],
        [_] => {}
        [one, other] if is_dual(one.text(), other.text()) => {}
        [_, _] => {
            return wrong("may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
        }
        _ => return wrong("may only hold up to 2 values"),
    }
    let text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    items.iter().filter(|range| !is_cidr(range.text())).map(|range| range.invalid(text)).collect()
}

/// Whether both are ranges, one of each family.
fn is_dual(one: &str, other: &str) -> bool {
    is_cidr(one) && is_cidr(other) && one.contains(':') != other.contains(':')
}

/// A second family may come, nothing may change or go.
fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let ranges = |object| At::field(object, "spec").child("cidrs");
    let (now, were) = (ranges(new).items(), ranges(old).items());
    if now.len() != were.len() && (now.len(), were.len()) != (2, 1) {
        return vec![ranges(new).invalid(IMMUTABLE)];
    }
    now.iter().zip(&were).filter_map(|(now, was)| immutable(now, was)).collect()
}
