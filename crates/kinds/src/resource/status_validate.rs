//! Validation of what a claim was given.
//!
//! upstream: pkg/apis/resource/validation

use std::collections::HashSet;

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::dns1123_label;

use super::claim_validate::{
    CONFIGS_MAX, Names, request_names, validate_config, validate_reference, validate_references,
};
use super::names::{validate_list, validate_pool_name, validate_set};
use crate::check::{At, immutable, required, required_one_of};
use crate::core::pod::validate::drivers::validate_driver_name;
use crate::core::pod::validate::validate_node_selector;

const CONSUMERS_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
const CONDITIONS_MAX: usize = 8;

pub fn validate_status_update(new: &Object, old: &Object) -> ErrorList {
    let (status, was) = (At::field(new, "status"), At::field(old, "status"));
    let (consumers, allocation) = (status.child("reservedFor"), status.child("allocation"));
    let uid = |consumer: &At| consumer.child("uid").text().to_owned();
    let mut errors = validate_set(&consumers, CONSUMERS_MAX, uid, |consumer| {
        ["resource", "name", "uid"].iter().filter_map(|field| required(&consumer.child(field))).collect()
    });
    let results = allocation.child("devices").child("results").items();
    let allocated: HashSet<String> = results.iter().map(device_id).collect();
    errors.extend(validate_set(&status.child("devices"), usize::MAX, device_id, |device| {
        validate_device(device, &allocated)
    }));
    if !consumers.is_empty() && !allocation.is_set() {
        errors.push(consumers.forbidden("may not be specified when `allocated` is not set"));
    } else if new.is_deleting() {
        let had: HashSet<String> = was.child("reservedFor").items().iter().map(|item| item.value.to_string()).collect();
        let added = consumers.items().iter().any(|item| !had.contains(&item.value.to_string()));
        let text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.extend(added.then(|| consumers.forbidden(text)));
    }
    if was.child("allocation").is_set() && allocation.is_set() {
        errors.extend(immutable(&allocation, &was.child("allocation")));
    } else if allocation.is_set() {
        let names = request_names(&At::field(new, "spec").child("devices"));
        errors.extend(validate_allocation(&allocation, &names));
    }
    errors
}

/// What tells devices apart: `driver/pool/device`, and the share of it.
fn device_id(device: &At) -> String {
    let parts = ["driver", "pool", "device"].map(|field| device.child(field).text());
    match device.child("shareID").text() {
        "" => parts.join("/"),
        share => format!("{}/{share}", parts.join("/")),
    }
}

fn validate_place(device: &At) -> ErrorList {
    let mut errors = validate_driver_name(&device.child("driver"));
    errors.extend(validate_pool_name(&device.child("pool")));
    errors.extend(device.child("device").check(dns1123_label));
    errors
}

fn validate_device(device: &At, allocated: &HashSet<String>) -> ErrorList {
    let (id, conditions) = (device_id(device), device.child("conditions"));
    let mut errors = validate_place(device);
    if !allocated.contains(&id) {
        errors.push(Error::invalid(&device.path, id, "must be an allocated device in the claim"));
    }
    let count = conditions.items().len();
    errors.extend((count > CONDITIONS_MAX).then(|| Error::too_many(&conditions.path, count, CONDITIONS_MAX)));
    errors
}

fn validate_allocation(allocation: &At, names: &Names) -> ErrorList {
    let (devices, selector) = (allocation.child("devices"), allocation.child("nodeSelector"));
    let mut errors = validate_list(&devices.child("results"), RESULTS_MAX, |result| {
        let mut errors = validate_reference(&result.child("request"), names);
        errors.extend(validate_place(result));
        errors
    });
    errors.extend(validate_list(&devices.child("config"), 2 * CONFIGS_MAX, |config| {
        let sources = ["FromClaim", "FromClass"];
        let mut errors: ErrorList = required_one_of(&config.child("source"), &sources).into_iter().collect();
        errors.extend(validate_references(&config.child("requests"), names));
        errors.extend(validate_config(config));
        errors
    }));
    if selector.is_set() {
        errors.extend(validate_node_selector(&selector));
    }
    errors
}
