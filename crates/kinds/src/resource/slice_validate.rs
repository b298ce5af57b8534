//! Validation of the devices that drivers publish.
//!
//! upstream: pkg/apis/resource/validation

use machinery::Object;
use machinery::field::{Error, ErrorList};
use machinery::validation::{dns1123_label, dns1123_subdomain, label_value, validate_label_name};
use serde_json::Value;

use super::claim_validate::EFFECTS;
use super::names::{by_name, validate_list, validate_pool_name, validate_qualified, validate_set};
use crate::check::{At, NOT_POSITIVE, immutable, optional_name, required_name, required_one_of};
use crate::core::pod::validate::drivers::validate_driver_name;
use crate::core::pod::validate::validate_node_selector;

const DEVICES_MAX: usize = 128;
/// The same when devices have taints or share counters.
const ELABORATE_DEVICES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
const CONSUMED_MAX: usize = 2;
const PROPERTIES_MAX: usize = 32;
const TAINTS_MAX: usize = 16;
const TEXT_MAX: usize = 64;
const ONE_PLACE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
const ONE_PLACE_OF_DEVICE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
    `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
const NO_PLACE_OF_DEVICE: &str = "`nodeName`, `nodeSelector` and `allNodes` can only be set if \
    `perDeviceNodeSelection` is set to true in the ResourceSlice spec";

pub fn validate(slice: &Object) -> ErrorList {
    let spec = At::field(slice, "spec");
    let (devices, counters) = (spec.child("devices"), spec.child("sharedCounters"));
    let driver = spec.child("driver");
    let mut errors = if driver.is_empty() { vec![driver.required("")] } else { validate_driver_name(&driver) };
    errors.extend(validate_pool(&spec.child("pool")));
    errors.extend(validate_place(&spec));
    if devices.is_set() && counters.is_set() {
        errors.push(spec.invalid_empty("only one of `sharedCounters` or `devices` is allowed"));
    }
    let elaborate = |device: &At| ["taints", "consumesCounters"].iter().any(|field| !device.child(field).is_empty());
    let max = if devices.items().iter().any(elaborate) { ELABORATE_DEVICES_MAX } else { DEVICES_MAX };
    let by_device = spec.child("perDeviceNodeSelection").is_true();
    errors.extend(validate_set(&devices, max, by_name, |device| validate_device(device, by_device)));
    errors.extend(validate_set(&counters, COUNTER_SETS_MAX, by_name, |set| {
        let mut errors = required_name(&set.child("name"), dns1123_label);
        errors.extend(validate_counters(&set.child("counters")));
        errors
    }));
    errors
}

pub fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let (spec, was) = (At::field(new, "spec"), At::field(old, "spec"));
    let name = |spec: &At| spec.child("pool").child("name").text().to_owned();
    let mut errors = ErrorList::new();
    if name(&spec) != name(&was) {
        errors.push(spec.child("pool").child("name").invalid(crate::check::IMMUTABLE));
    }
    errors.extend(["driver", "nodeName"].iter().filter_map(|field| immutable(&spec.child(field), &was.child(field))));
    errors
}

fn validate_pool(pool: &At) -> ErrorList {
    let (count, generation) = (pool.child("resourceSliceCount"), pool.child("generation"));
    let [slices, version] = [&count, &generation].map(|at| at.int().unwrap_or(0));
    let mut errors = validate_pool_name(&pool.child("name"));
    errors.extend((slices <= 0).then(|| Error::invalid(&count.path, slices, NOT_POSITIVE)));
    errors.extend((version < 0).then(|| generation.invalid("must be greater than or equal to zero")));
    errors
}

/// Where the devices of the slice are.
fn validate_place(spec: &At) -> ErrorList {
    let (node, selector) = (spec.child("nodeName"), spec.child("nodeSelector"));
    let mut places = Vec::new();
    let mut errors = ErrorList::new();
    if node.is_set() && node.is_empty() {
        errors.push(node.invalid("must be either unset or set to a non-empty string"));
    } else if node.is_set() {
        places.push("`nodeName`");
        errors.extend(node.check(dns1123_subdomain));
    }
    if selector.is_set() {
        let terms = selector.child("nodeSelectorTerms");
        places.push("`nodeSelector`");
        errors.extend(validate_node_selector(&selector));
        let one = terms.items().len() == 1;
        errors.extend((!one).then(|| terms.invalid("must have exactly one node selector term")));
    }
    for (field, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        let flag = spec.child(field);
        match flag.is_true() {
            true => places.push(shown),
            false => errors.extend(flag.is_set().then(|| flag.invalid("must be either unset or set to true"))),
        }
    }
    match places.len() {
        0 => errors.push(spec.required(ONE_PLACE)),
        1 => {}
        _ => {
            let text = format!("{ONE_PLACE}, but multiple fields are set");
            errors.push(Error::invalid(&spec.path, format!("{{{}}}", places.join(", ")), text));
        }
    }
    errors
}

fn validate_device(device: &At, by_device: bool) -> ErrorList {
    let (attributes, capacity) = (device.child("attributes"), device.child("capacity"));
    let properties = attributes.entries().len() + capacity.entries().len();
    let mut errors = device.child("name").check(dns1123_label);
    if properties > PROPERTIES_MAX {
        let text = format!("the total number of attributes and capacities must not exceed {PROPERTIES_MAX}");
        errors.push(Error::invalid(&device.path, properties, text));
    }
    for (name, attribute) in attributes.entries() {
        errors.extend(validate_qualified(name, &attributes));
        errors.extend(validate_attribute(&attribute));
    }
    errors.extend(capacity.entries().iter().flat_map(|(name, _)| validate_qualified(name, &capacity)));
    errors.extend(validate_list(&device.child("taints"), TAINTS_MAX, validate_taint));
    let set = |consumed: &At| consumed.child("counterSet").text().to_owned();
    errors.extend(validate_set(&device.child("consumesCounters"), CONSUMED_MAX, set, |consumed| {
        let mut errors = required_name(&consumed.child("counterSet"), dns1123_label);
        errors.extend(validate_counters(&consumed.child("counters")));
        errors
    }));
    errors.extend(validate_place_of_device(device, by_device));
    errors
}

fn validate_counters(counters: &At) -> ErrorList {
    let entries = counters.entries();
    match entries.len() {
        0 => vec![counters.required("")],
        1..=COUNTERS_MAX => {
            let faults = |name: &str| -> ErrorList {
                dns1123_label(name).into_iter().map(|fault| Error::invalid(&counters.path, name, fault)).collect()
            };
            entries.iter().flat_map(|(name, _)| faults(name)).collect()
        }
        count => vec![Error::too_many(&counters.path, count, COUNTERS_MAX)],
    }
}

fn validate_attribute(attribute: &At) -> ErrorList {
    let (text, version) = (attribute.child("string"), attribute.child("version"));
    let long = |at: &At| (at.text().len() > TEXT_MAX).then(|| Error::too_long(&at.path, TEXT_MAX));
    let mut errors: ErrorList = long(&text).into_iter().collect();
    if version.is_set() && !is_semantic(version.text()) {
        errors.push(version.invalid("must be a string compatible with semver.org spec 2.0.0"));
    }
    errors.extend(long(&version));
    match attribute.set_children(&["bool", "int", "string", "version"]).len() {
        0 => errors.push(attribute.invalid_empty("exactly one value must be specified")),
        1 => {}
        _ => errors.push(attribute.invalid("exactly one value must be specified")),
    }
    errors
}

/// Whether the text is a version as semver.org has it.
fn is_semantic(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, early) = text.split_once('-').map_or((text, None), |(core, early)| (core, Some(early)));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let canonical = |part: &str| part == "0" || !part.starts_with('0');
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|part| is_number(part) && canonical(part))
        && early.is_none_or(|early| early.split('.').all(|part| is_word(part) && (!is_number(part) || canonical(part))))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

fn validate_taint(taint: &At) -> ErrorList {
    let key = taint.child("key");
    let mut errors = validate_label_name(key.text(), &key.path);
    errors.extend(optional_name(&taint.child("value"), label_value));
    errors.extend(required_one_of(&taint.child("effect"), EFFECTS));
    errors
}

fn validate_place_of_device(device: &At, by_device: bool) -> ErrorList {
    let [node, selector, all] = ["nodeName", "nodeSelector", "allNodes"].map(|field| device.child(field));
    if !by_device {
        let placed = [node, selector, all].iter().any(At::is_set);
        let error = placed.then(|| Error::invalid(&device.path, Value::Null, NO_PLACE_OF_DEVICE));
        return error.into_iter().collect();
    }
    let mut errors = ErrorList::new();
    if node.is_set() && node.is_empty() {
        errors.push(node.invalid("must not be empty"));
    }
    errors.extend(optional_name(&node, dns1123_subdomain));
    if selector.is_set() {
        errors.extend(validate_node_selector(&selector));
    }
    if all.is_set() && !all.is_true() {
        errors.push(all.invalid("must be either unset or set to true"));
    }
    let places =
        [(!node.is_empty(), "`nodeName`"), (selector.is_set(), "`nodeSelector`"), (all.is_true(), "`allNodes`")];
    let places: Vec<&str> = places.iter().filter(|(is_set, _)| *is_set).map(|(_, shown)| *shown).collect();
    match places.len() {
        0 => errors.push(device.required(ONE_PLACE_OF_DEVICE)),
        1 => {}
        _ => errors.push(Error::invalid(&device.path, format!("{{{}}}", places.join(", ")), ONE_PLACE_OF_DEVICE)),
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::is_semantic;

    #[test]
    fn versions_are_semantic() {
        assert!(["1.2.3", "0.0.0", "1.2.3-a.1", "1.2.3+b.01", "1.2.3-0a-b+c"].into_iter().all(is_semantic));
        assert!(!["1", "1.2", "01.2.3", "1.2.3-01", "1.2.3-", "1.2.3+", "1.2.x", ""].into_iter().any(is_semantic));
    }
}
