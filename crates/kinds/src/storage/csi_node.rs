//! CSINode.

use std::collections::{HashMap, HashSet};

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::qualified_name;
use serde_json::Value;

use crate::check::{At, IMMUTABLE, non_negative, same};
use crate::columns::{AGE, NAME};
use crate::core::pod::validate::drivers::validate_driver_name;
use crate::def::Description::Text;
use crate::def::{Column, KindDef, Scope, Strategy};
use crate::tree::str_of;

pub static CSI_NODE: KindDef = KindDef {
    group: "storage.k8s.io",
    kind: "CSINode",
    resource: "csinodes",
    singular: "csinode",
    scope: Scope::Cluster,
    schema: "io.k8s.api.storage.v1.CSINode",
    columns: &[
        NAME,
        Column::integer(
            "Drivers",
            Text("Drivers indicates the number of CSI drivers registered on the node"),
            |node| node.list(&["spec", "drivers"]).len().into(),
        ),
        AGE,
    ],
    strategy: Strategy {
        validate,
        validate_update,
        unconditional_update: false,
        returns_deleted: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

const NODE_ID_MAX: usize = 256;

fn validate(node: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut names = HashSet::new();
    for driver in At::field(node, "spec").child("drivers").items() {
        let (name, id) = (driver.child("name"), driver.child("nodeID"));
        errors.extend(validate_driver_name(&name));
        if id.is_empty() {
            errors.push(id.required(""));
        } else if id.text().len() > NODE_ID_MAX {
            errors.push(id.invalid(format!("must be {NODE_ID_MAX} characters or less")));
        }
        errors.extend(non_negative(&driver.child("allocatable").child("count")));
        errors.extend((!names.insert(name.text())).then(|| name.duplicate()));
        errors.extend(validate_keys(&driver));
    }
    errors
}

/// Upstream tells these at the driver.
fn validate_keys(driver: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for key in driver.child("topologyKeys").items() {
        let key = key.at(driver.path.clone());
        errors.extend(key.is_empty().then(|| key.required("")));
        errors.extend((!seen.insert(key.text())).then(|| Error::duplicate(&key.path, key.text())));
        errors.extend(key.check(qualified_name));
    }
    errors
}

/// How many volumes a driver takes may change, the rest of it not.
fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let drivers = |node| At::field(node, "spec").child("drivers");
    let fixed = |driver: &At| {
        let mut fixed = driver.value.clone();
        fixed.as_object_mut().and_then(|driver| driver.remove("allocatable"));
        fixed
    };
    let (path, now) = (drivers(new).path, drivers(new).items());
    let mut kept: HashMap<&str, Vec<Value>> = HashMap::new();
    for driver in &now {
        kept.entry(str_of(driver.value, "name")).or_default().push(fixed(driver));
    }
    let mut errors = ErrorList::new();
    for was in drivers(old).items() {
        let kept = kept.remove(str_of(was.value, "name")).unwrap_or_default();
        let changed = kept.into_iter().filter(|driver| !same(driver, &fixed(&was)));
        errors.extend(changed.map(|driver| Error::invalid(&path, driver, IMMUTABLE)));
    }
    errors
}
