//! DeviceClass and ResourceSlice.

use super::claim_validate::validate_class;
use super::gates::drop_disabled;
use super::{gates, slice_validate};
use crate::check::At;
use crate::columns::{AGE, NAME};
use crate::def::Description::Field;
use crate::def::{Column, KindDef, Scope, SelectableField, Strategy};

pub static DEVICE_CLASS: KindDef = KindDef {
    group: "resource.k8s.io",
    kind: "DeviceClass",
    resource: "deviceclasses",
    singular: "deviceclass",
    scope: Scope::Cluster,
    schema: "io.k8s.api.resource.v1.DeviceClass",
    columns: &[NAME, AGE],
    strategy: Strategy {
        prepare_create: |class| drop_disabled(gates::CLASS, class, None),
        prepare_update: |new, old| drop_disabled(gates::CLASS, new, Some(old)),
        validate: |class| validate_class(&At::field(class, "spec")),
        generation: true,
        returns_deleted: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};

pub static RESOURCE_SLICE: KindDef = KindDef {
    group: "resource.k8s.io",
    kind: "ResourceSlice",
    resource: "resourceslices",
    singular: "resourceslice",
    scope: Scope::Cluster,
    schema: "io.k8s.api.resource.v1.ResourceSlice",
    unknown_field: Some(|field| {
        format!("field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {field}")
    }),
    selectable_fields: &[
        SelectableField { name: "spec.nodeName", value: |slice| slice.str(&["spec", "nodeName"]).to_owned() },
        SelectableField { name: "spec.driver", value: |slice| slice.str(&["spec", "driver"]).to_owned() },
    ],
    columns: &[
        NAME,
        Column::string("Node", Field("spec.nodeName"), |slice| slice.str(&["spec", "nodeName"]).into()),
        Column::string("Driver", Field("spec.driver"), |slice| slice.str(&["spec", "driver"]).into()),
        Column::string("Pool", Field("spec.pool.name"), |slice| slice.str(&["spec", "pool", "name"]).into()),
        AGE,
    ],
    strategy: Strategy {
        prepare_create: |slice| drop_disabled(gates::SLICE, slice, None),
        prepare_update: |new, old| drop_disabled(gates::SLICE, new, Some(old)),
        validate: slice_validate::validate,
        validate_update: slice_validate::validate_update,
        generation: true,
        returns_deleted: true,
        ..Strategy::PLAIN
    },
    ..KindDef::PLAIN
};
