//! CSIDriver.

use std::collections::HashSet;

use machinery::Object;
use machinery::field::ErrorList;
use serde_json::{Value, json};

use crate::check::{At, immutable, one_of};
use crate::columns::{AGE, NAME, NONE, UNSET};
use crate::def::Description::Field;
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
        flag("AttachRequired", "spec.attachRequired", |driver| driver.bool(&["spec", "attachRequired"]).into()),
        flag("PodInfoOnMount", "spec.podInfoOnMount", |driver| driver.bool(&["spec", "podInfoOnMount"]).into()),
        flag("StorageCapacity", "spec.storageCapacity", |driver| driver.bool(&["spec", "storageCapacity"]).into()),
        Column::string("TokenRequests", Field("spec.tokenRequests"), token_requests),
        flag("RequiresRepublish", "spec.requiresRepublish", |driver| {
            driver.bool(&["spec", "requiresRepublish"]).into()
        }),
        Column::string("Modes", Field("spec.volumeLifecycleModes"), modes),
        AGE,
    ],
    strategy: Strategy {
        default: default_driver,
        validate,
        validate_update,
        generation: true,
        unconditional_update: false,
        returns_deleted: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

const fn flag(name: &'static str, field: &'static str, cell: fn(&Object) -> Value) -> Column {
    Column::string(name, Field(field), cell).of_type("boolean")
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

const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
const UPDATE_SECONDS_MIN: i64 = 10;

fn validate(driver: &Object) -> ErrorList {
    let spec = At::field(driver, "spec");
    let mut errors: ErrorList =
        one_of(&spec.child("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"]).into_iter().collect();
    errors.extend(validate_tokens(&spec.child("tokenRequests")));
    let modes = spec.child("volumeLifecycleModes");
    for mode in modes.items() {
        errors.extend(one_of(&mode.at(modes.path.clone()), &["Persistent", "Ephemeral"]));
    }
    let period = spec.child("nodeAllocatableUpdatePeriodSeconds");
    let short = period.int().is_some_and(|seconds| seconds < UPDATE_SECONDS_MIN);
    errors.extend(short.then(|| period.invalid("must be greater than or equal to 10 seconds")));
    errors
}

fn validate_tokens(requests: &At) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut audiences = HashSet::new();
    for request in requests.items() {
        let (audience, seconds) = (request.child("audience"), request.child("expirationSeconds"));
        let detail = match seconds.int() {
            _ if !audiences.insert(audience.text()) => {
                let shown = machinery::field::Error::duplicate(&audience.path, audience.text());
                errors.push(shown);
                continue;
            }
            Some(..TOKEN_SECONDS_MIN) => "may not specify a duration less than 10 minutes",
            Some(number) if number > TOKEN_SECONDS_MAX => "may not specify a duration larger than 2^32 seconds",
            _ => continue,
        };
        errors.push(seconds.invalid(detail));
    }
    errors
}

fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    // Upstream spells the first path so.
    let attach = spec.child("attachRequired").at(spec.path.child("attachedRequired"));
    let mut errors: ErrorList = immutable(&attach, &was.child("attachRequired")).into_iter().collect();
    let modes = "volumeLifecycleModes";
    errors.extend(immutable(&spec.child(modes), &was.child(modes)));
    errors
}
