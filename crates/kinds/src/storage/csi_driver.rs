//! CSIDriver.

use machinery::Object;
use serde_json::{Value, json};

use crate::columns::{AGE, NAME, NONE, UNSET};
use crate::def::{Column, KindDef, Scope, Strategy};
use crate::tree::{child_or_new, default, str_of};

pub static CSI_DRIVER: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "CSIDriver",
    resource: "csidrivers",
    singular: "csidriver",
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.CSIDriver",
    columns: &[
        NAME,
        flag("AttachRequired", |driver| driver.bool(&["spec", "attachRequired"]).into()),
        flag("PodInfoOnMount", |driver| driver.bool(&["spec", "podInfoOnMount"]).into()),
        flag("StorageCapacity", |driver| driver.bool(&["spec", "storageCapacity"]).into()),
        Column::string("TokenRequests", "Audiences of the tokens it needs", token_requests),
        flag("RequiresRepublish", |driver| driver.bool(&["spec", "requiresRepublish"]).into()),
        Column::string("Modes", "Lifecycles of volumes it supports", modes),
        AGE,
    ],
    strategy: Strategy {
        default: default_driver,
        generation: true,
        unconditional_update: false,
        returns_deleted: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

const fn flag(name: &'static str, cell: fn(&Object) -> Value) -> Column {
    Column::string(name, "Whether the driver asks for it", cell).of_type("boolean")
}

fn default_driver(driver: &mut Object) {
    let spec = child_or_new(&mut driver.0, "spec");
    default(spec, "attachRequired", true);
    default(spec, "podInfoOnMount", false);
    default(spec, "storageCapacity", false);
    default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    default(spec, "volumeLifecycleModes", json!(["Persistent"]));
    default(spec, "requiresRepublish", false);
    default(spec, "seLinuxMount", false);
}

fn token_requests(driver: &Object) -> Value {
    let requests = driver.list(&["spec", "tokenRequests"]);
    if requests.is_empty() {
        return UNSET.into();
    }
    requests.iter().map(|request| str_of(request, "audience")).collect::<Vec<_>>().join(",").into()
}

fn modes(driver: &Object) -> Value {
    let modes: Vec<&str> = driver.list(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str).collect();
    if modes.is_empty() { NONE.into() } else { modes.join(",").into() }
}
