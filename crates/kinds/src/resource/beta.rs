//! resource.k8s.io/v1beta2, which looks as v1 does, and v1beta1, where a request holds its one way of being satisfied,
//! and a device what it is, beside or below other fields. (upstream: pkg/apis/resource/v1beta1/conversion.go)

use machinery::Object;
use machinery::field::ErrorList;

use super::{DEVICE_CLASS, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, RESOURCE_SLICE};
use crate::def::{Conversion, Deprecation, KindDef, Strategy};
use crate::tree::{Map, child, each};

pub const BETA: &[&KindDef] = &[
    &DEVICE_CLASS_V1BETA2,
    &RESOURCE_CLAIM_V1BETA2,
    &RESOURCE_CLAIM_TEMPLATE_V1BETA2,
    &RESOURCE_SLICE_V1BETA2,
    &DEVICE_CLASS_V1BETA1,
    &RESOURCE_CLAIM_V1BETA1,
    &RESOURCE_CLAIM_TEMPLATE_V1BETA1,
    &RESOURCE_SLICE_V1BETA1,
];

static DEVICE_CLASS_V1BETA2: KindDef = DEVICE_CLASS.again_as("v1beta2", "io.k8s.api.resource.v1beta2.DeviceClass");
static RESOURCE_CLAIM_V1BETA2: KindDef =
    RESOURCE_CLAIM.again_as("v1beta2", "io.k8s.api.resource.v1beta2.ResourceClaim");
static RESOURCE_CLAIM_TEMPLATE_V1BETA2: KindDef =
    RESOURCE_CLAIM_TEMPLATE.again_as("v1beta2", "io.k8s.api.resource.v1beta2.ResourceClaimTemplate");
static RESOURCE_SLICE_V1BETA2: KindDef =
    RESOURCE_SLICE.again_as("v1beta2", "io.k8s.api.resource.v1beta2.ResourceSlice");

const V1BETA1_GOES: Option<Deprecation> = Some(Deprecation { since: "1.35", removed: "1.38", replacement: "" });

static DEVICE_CLASS_V1BETA1: KindDef = KindDef {
    deprecation: V1BETA1_GOES,
    ..DEVICE_CLASS.again_as("v1beta1", "io.k8s.api.resource.v1beta1.DeviceClass")
};

static RESOURCE_CLAIM_V1BETA1: KindDef = KindDef {
    deprecation: V1BETA1_GOES,
    conversion: Some(Conversion { storage: STORAGE, to_storage: claim_to_v1, from_storage: claim_from_v1 }),
    strategy: Strategy {
        default: |claim| {
            claim_to_v1(claim);
            (RESOURCE_CLAIM.strategy.default)(claim);
            claim_from_v1(claim);
        },
        prepare_create: |claim| {
            claim_to_v1(claim);
            (RESOURCE_CLAIM.strategy.prepare_create)(claim);
            claim_from_v1(claim);
        },
        prepare_update: |new, old| {
            claim_to_v1(new);
            (RESOURCE_CLAIM.strategy.prepare_update)(new, &seen(old, claim_to_v1));
            claim_from_v1(new);
        },
        prepare_status_update: |new, old| {
            claim_to_v1(new);
            (RESOURCE_CLAIM.strategy.prepare_status_update)(new, &seen(old, claim_to_v1));
            claim_from_v1(new);
        },
        validate: |claim| (RESOURCE_CLAIM.strategy.validate)(&seen(claim, claim_to_v1)),
        validate_status_update: |new, old| {
            (RESOURCE_CLAIM.strategy.validate_status_update)(&seen(new, claim_to_v1), &seen(old, claim_to_v1))
        },
        ..RESOURCE_CLAIM.strategy
    },
    ..RESOURCE_CLAIM.again_as("v1beta1", "io.k8s.api.resource.v1beta1.ResourceClaim")
};

static RESOURCE_CLAIM_TEMPLATE_V1BETA1: KindDef = KindDef {
    deprecation: V1BETA1_GOES,
    conversion: Some(Conversion { storage: STORAGE, to_storage: template_to_v1, from_storage: template_from_v1 }),
    strategy: Strategy {
        default: |template| {
            template_to_v1(template);
            (RESOURCE_CLAIM_TEMPLATE.strategy.default)(template);
            template_from_v1(template);
        },
        prepare_create: |template| {
            template_to_v1(template);
            (RESOURCE_CLAIM_TEMPLATE.strategy.prepare_create)(template);
            template_from_v1(template);
        },
        prepare_update: |new, old| {
            template_to_v1(new);
            (RESOURCE_CLAIM_TEMPLATE.strategy.prepare_update)(new, &seen(old, template_to_v1));
            template_from_v1(new);
        },
        validate: |template| (RESOURCE_CLAIM_TEMPLATE.strategy.validate)(&seen(template, template_to_v1)),
        ..RESOURCE_CLAIM_TEMPLATE.strategy
    },
    ..RESOURCE_CLAIM_TEMPLATE.again_as("v1beta1", "io.k8s.api.resource.v1beta1.ResourceClaimTemplate")
};

static RESOURCE_SLICE_V1BETA1: KindDef = KindDef {
    deprecation: V1BETA1_GOES,
    conversion: Some(Conversion { storage: STORAGE, to_storage: slice_to_v1, from_storage: slice_from_v1 }),
    strategy: Strategy {
        prepare_create: |slice| {
            slice_to_v1(slice);
            (RESOURCE_SLICE.strategy.prepare_create)(slice);
            slice_from_v1(slice);
        },
        prepare_update: |new, old| {
            slice_to_v1(new);
            (RESOURCE_SLICE.strategy.prepare_update)(new, &seen(old, slice_to_v1));
            slice_from_v1(new);
        },
        validate: |slice| (RESOURCE_SLICE.strategy.validate)(&seen(slice, slice_to_v1)),
        validate_update: slice_update,
        ..RESOURCE_SLICE.strategy
    },
    ..RESOURCE_SLICE.again_as("v1beta1", "io.k8s.api.resource.v1beta1.ResourceSlice")
};

const STORAGE: (&str, &str) = ("resource.k8s.io", "v1");

/// What v1 has in `exactly`.
const OF_EXACTLY: [&str; 7] =
    ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity"];

fn slice_update(new: &Object, old: &Object) -> ErrorList {
    (RESOURCE_SLICE.strategy.validate_update)(&seen(new, slice_to_v1), &seen(old, slice_to_v1))
}

fn seen(object: &Object, through: fn(&mut Object)) -> Object {
    let mut object = object.clone();
    through(&mut object);
    object
}

fn claim_to_v1(claim: &mut Object) {
    child(&mut claim.0, "spec").into_iter().for_each(|spec| each_request(spec, lower));
}

fn claim_from_v1(claim: &mut Object) {
    child(&mut claim.0, "spec").into_iter().for_each(|spec| each_request(spec, lift));
}

fn template_to_v1(template: &mut Object) {
    let spec = child(&mut template.0, "spec").and_then(|spec| child(spec, "spec"));
    spec.into_iter().for_each(|spec| each_request(spec, lower));
}

fn template_from_v1(template: &mut Object) {
    let spec = child(&mut template.0, "spec").and_then(|spec| child(spec, "spec"));
    spec.into_iter().for_each(|spec| each_request(spec, lift));
}

fn each_request(spec: &mut Map, change: fn(&mut Map)) {
    child(spec, "devices").into_iter().for_each(|devices| each(devices, "requests", change));
}

/// Puts what a request asks for under `exactly`, if it asks for anything.
fn lower(request: &mut Map) {
    let mut exactly = Map::new();
    for field in OF_EXACTLY {
        // A name that is empty stands for none: here it is always written, there it must be there.
        if let Some(value) = request.remove(field).filter(|value| !value.is_null() && value != "") {
            exactly.insert(field.to_owned(), value);
        }
    }
    if !exactly.is_empty() {
        request.insert("exactly".to_owned(), exactly.into());
    }
}

fn lift(request: &mut Map) {
    if let Some(serde_json::Value::Object(exactly)) = request.remove("exactly") {
        request.extend(exactly);
    }
}

fn slice_to_v1(slice: &mut Object) {
    let devices = |spec: &mut Map| {
        each(spec, "devices", |device| {
            if let Some(serde_json::Value::Object(basic)) = device.remove("basic") {
                device.extend(basic);
            }
        });
    };
    child(&mut slice.0, "spec").into_iter().for_each(devices);
}

fn slice_from_v1(slice: &mut Object) {
    let devices = |spec: &mut Map| {
        each(spec, "devices", |device| {
            let name = device.remove("name");
            let basic = std::mem::take(device);
            device.extend(name.map(|name| ("name".to_owned(), name)));
            device.insert("basic".to_owned(), basic.into());
        });
    };
    child(&mut slice.0, "spec").into_iter().for_each(devices);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(spec: Value) -> Object {
        Object::from_value(json!({"metadata": {"name": "o"}, "spec": spec})).unwrap()
    }

    /// The first version becomes the second, and back.
    fn check(kind: &KindDef, beta: Value, stable: Value) {
        let conversion = kind.conversion.unwrap();
        let mut converted = object(beta.clone());
        (conversion.to_storage)(&mut converted);
        assert_eq!(converted, object(stable));
        (conversion.from_storage)(&mut converted);
        assert_eq!(converted, object(beta));
    }

    #[test]
    fn requests_hold_what_v1_has_under_exactly() {
        let beta = json!({"devices": {"requests": [
            {"name": "one", "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2},
            {"name": "any", "firstAvailable": [{"name": "a", "deviceClassName": "gpu"}]},
        ]}});
        let stable = json!({"devices": {"requests": [
            {"name": "one", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
            {"name": "any", "firstAvailable": [{"name": "a", "deviceClassName": "gpu"}]},
        ]}});
        check(&RESOURCE_CLAIM_V1BETA1, beta.clone(), stable.clone());
        check(&RESOURCE_CLAIM_TEMPLATE_V1BETA1, json!({"spec": beta}), json!({"spec": stable}));
    }

    #[test]
    fn devices_hold_what_they_are_under_basic() {
        let beta = json!({"driver": "d", "devices": [{"name": "one", "basic": {"attributes": {"a": {"int": 1}}}}]});
        let stable = json!({"driver": "d", "devices": [{"name": "one", "attributes": {"a": {"int": 1}}}]});
        check(&RESOURCE_SLICE_V1BETA1, beta, stable);
    }

    #[test]
    fn a_claim_has_the_defaults_of_v1() {
        let mut claim = object(json!({"devices": {"requests": [{"name": "one", "deviceClassName": "gpu"}]}}));
        (RESOURCE_CLAIM_V1BETA1.strategy.default)(&mut claim);
        let request = &claim.list(&["spec", "devices", "requests"])[0];
        assert_eq!((&request["allocationMode"], &request["count"]), (&json!("ExactCount"), &json!(1)));
        assert_eq!((RESOURCE_CLAIM_V1BETA1.strategy.validate)(&claim), []);
        let mut empty = object(json!({"devices": {"requests": [{"name": "one", "deviceClassName": ""}]}}));
        (RESOURCE_CLAIM_V1BETA1.strategy.default)(&mut empty);
        assert_ne!((RESOURCE_CLAIM_V1BETA1.strategy.validate)(&empty), []);
    }
}
