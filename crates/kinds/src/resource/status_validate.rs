//! Validation of what a claim was given.
//!
//! upstream: pkg/apis/resource/validation

use std::collections::HashSet;
use std::net::IpAddr;

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::dns1123_label;

use super::claim_validate::{
    CONFIGS_MAX, Names, request_names, validate_config, validate_parameters, validate_reference, validate_references,
};
use super::names::{validate_list, validate_pool_name, validate_set};
use crate::check::{At, immutable, is_cidr, required, required_one_of, validate_conditions};
use crate::core::pod::validate::drivers::validate_driver_name;
use crate::core::pod::validate::validate_node_selector;

const CONSUMERS_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
const CONDITIONS_MAX: usize = 8;
const INTERFACE_NAME_MAX: usize = 256;
const HARDWARE_ADDRESS_MAX: usize = 128;
const ADDRESSES_MAX: usize = 16;

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
pub fn device_id(device: &At) -> String {
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
    errors.extend(validate_conditions(&conditions));
    let data = device.child("data");
    if data.is_set() {
        errors.extend(validate_parameters(&data));
    }
    errors.extend(validate_network(&device.child("networkData")));
    errors
}

fn validate_network(network: &At) -> ErrorList {
    let limits = [("interfaceName", INTERFACE_NAME_MAX), ("hardwareAddress", HARDWARE_ADDRESS_MAX)];
    let limits = limits.map(|(field, max)| (network.child(field), max));
    let long = limits.iter().filter(|(at, max)| at.text().len() > *max);
    let mut errors: ErrorList = long.map(|(at, max)| Error::too_long(&at.path, *max)).collect();
    let text = |address: &At| address.text().to_owned();
    errors.extend(validate_set(&network.child("ips"), ADDRESSES_MAX, text, validate_interface_address));
    errors
}

/// An address and the length of its prefix, written as everybody writes it.
///
/// upstream: apimachinery/pkg/util/validation (IsValidInterfaceAddress)
fn validate_interface_address(address: &At) -> ErrorList {
    let text = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
    let Some((ip, length)) = address.text().split_once('/').filter(|_| is_cidr(address.text())) else {
        return vec![address.invalid(text)];
    };
    let ip: IpAddr = ip.parse().expect("it is part of a range");
    let canonical = format!("{ip}/{}", length.parse::<u8>().unwrap_or_default());
    let fault = (canonical != address.text()).then(|| format!("must be in canonical form ({canonical:?})"));
    fault.map(|fault| address.invalid(fault)).into_iter().collect()
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
