//! HorizontalPodAutoscaler, in both versions.

use crate::autoscaling::convert::{v1_to_v2, v2_to_v1};
use crate::def::{Conversion, KindDef, Strategy, Subresource};

pub static HORIZONTAL_POD_AUTOSCALER: KindDef = KindDef {
    version: "v2",
    schema: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
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
    strategy: Strategy { generation: false, ..Strategy::WITH_STATUS },
    conversion: Some(Conversion { storage: ("autoscaling", "v2"), to_storage: v1_to_v2, from_storage: v2_to_v1 }),
    ..KindDef::PLAIN
};
