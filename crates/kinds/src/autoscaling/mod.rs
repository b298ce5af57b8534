//! autoscaling/v1 and v2. Autoscalers are stored as v2.

mod columns;
mod convert;
mod defaults;
mod horizontal_pod_autoscaler;
mod scale;
mod validate;

use crate::def::KindDef;

pub use horizontal_pod_autoscaler::{HORIZONTAL_POD_AUTOSCALER, HORIZONTAL_POD_AUTOSCALER_V1};

pub use scale::SCALE;

pub const KINDS: &[&KindDef] = &[&HORIZONTAL_POD_AUTOSCALER, &HORIZONTAL_POD_AUTOSCALER_V1];
