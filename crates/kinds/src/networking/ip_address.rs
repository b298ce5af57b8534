//! IPAddress.

use machinery::Object;
use serde_json::Value;

use crate::columns::{AGE, NAME, NONE};
use crate::def::{Column, KindDef, Scope, Strategy};

pub static IP_ADDRESS: KindDef = KindDef {
    group: "networking.k8s.io",
    kind: "IPAddress",
    resource: "ipaddresses",
    singular: "ipaddress",
    short_names: &["ip"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.networking.v1.IPAddress",
    columns: &[NAME, Column::string("ParentRef", "What the address belongs to", parent), AGE],
    strategy: Strategy::PLAIN,
    ..KindDef::PLAIN
};

/// `services/default/kubernetes`, with the group after the resource where there is one.
fn parent(address: &Object) -> Value {
    let field = |field| address.str(&["spec", "parentRef", field]);
    let parts = [field("resource"), field("group")].into_iter().filter(|part| !part.is_empty());
    let resource = parts.collect::<Vec<_>>().join(".");
    match (field("name"), field("namespace")) {
        ("", _) => NONE.into(),
        (name, "") => format!("{resource}/{name}").into(),
        (name, namespace) => format!("{resource}/{namespace}/{name}").into(),
    }
}
