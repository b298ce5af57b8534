//! The core group, v1.

mod binding;
mod config_map;
mod endpoints;
pub(crate) mod event;
mod limit_range;
pub mod namespace;
mod node;
mod persistent_volume;
pub mod persistent_volume_claim;
pub mod pod;
mod pod_template;
mod replication_controller;
pub(crate) mod resource_names;
mod resource_quota;
mod secret;
mod service;
mod service_account;

use crate::def::KindDef;

pub use binding::BINDING;
pub use config_map::CONFIG_MAP;
pub use endpoints::ENDPOINTS;
pub(crate) use endpoints::special_address;
pub use event::EVENT;
pub use limit_range::LIMIT_RANGE;
pub use namespace::NAMESPACE;
pub use node::NODE;
pub use persistent_volume::PERSISTENT_VOLUME;
pub use persistent_volume_claim::PERSISTENT_VOLUME_CLAIM;
pub use pod::POD;
pub use pod_template::POD_TEMPLATE;
pub use replication_controller::REPLICATION_CONTROLLER;
pub use resource_names::is_extended;
pub use resource_quota::RESOURCE_QUOTA;
pub use secret::SECRET;
pub use service::SERVICE;
pub use service_account::SERVICE_ACCOUNT;

pub const KINDS: &[&KindDef] = &[
    &BINDING,
    &CONFIG_MAP,
    &ENDPOINTS,
    &EVENT,
    &LIMIT_RANGE,
    &NAMESPACE,
    &NODE,
    &PERSISTENT_VOLUME_CLAIM,
    &PERSISTENT_VOLUME,
    &POD,
    &POD_TEMPLATE,
    &REPLICATION_CONTROLLER,
    &RESOURCE_QUOTA,
    &SECRET,
    &SERVICE_ACCOUNT,
    &SERVICE,
];
