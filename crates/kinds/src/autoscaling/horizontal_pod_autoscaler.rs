//! HorizontalPodAutoscaler, in both versions.

use super::{columns, defaults, validate};
use crate::autoscaling::convert::{v1_to_v2, v2_to_v1};
use crate::def::{Conversion, KindDef, Strategy, Subresource};

pub static HORIZONTAL_POD_AUTOSCALER: KindDef = KindDef {
    version: "v2",
    schema: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    strategy: Strategy {
        default: defaults::default_v2,
        validate: validate::validate_v2,
        ..HORIZONTAL_POD_AUTOSCALER_V1.strategy
    },
    conversion: None,
    ..HORIZONTAL_POD_AUTOSCALER_V1
};

pub static HORIZONTAL_POD_AUTOSCALER_V1: KindDef = KindDef {
    group: "autoscaling",
    kind: "HorizontalPodAutoscaler",
    resource: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    schema: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    subresources: &[Subresource::Status],
    columns: columns::COLUMNS,
    strategy: Strategy {
        default: defaults::default_v1,
        validate: validate::validate_v1,
        generation: false,
        validate_status_update: validate::validate_status_update,
        ..Strategy::WITH_STATUS
    },
    conversion: Some(Conversion { storage: ("autoscaling", "v2"), to_storage: v1_to_v2, from_storage: v2_to_v1 }),
    ..KindDef::PLAIN
};
