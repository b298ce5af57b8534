//! ServiceCIDR.

use machinery::Object;
use machinery::field::ErrorList;
use serde_json::Value;

use crate::check::{At, is_cidr};
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
    strategy: Strategy { validate, generation: false, ..Strategy::WITH_STATUS },
    ..KindDef::PLAIN
};

fn validate(object: &Object) -> ErrorList {
    let ranges = At::field(object, "spec").child("cidrs");
    if ranges.is_empty() {
        return vec![ranges.required("at least one CIDR required")];
    }
    let mut errors = ErrorList::new();
    if ranges.items().len() > 2 {
        errors.push(ranges.invalid("may only hold up to 2 values"));
    }
    let text = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    errors.extend(ranges.items().iter().filter(|range| !is_cidr(range.text())).map(|range| range.invalid(text)));
    errors
}
