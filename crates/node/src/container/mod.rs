//! From a container's specification to what the runtime is told. Pure, given the objects it refers to.

pub mod config;
pub mod dns;
pub mod env;
pub mod expand;
pub mod fields;
pub mod hosts;
pub mod sandbox;
pub mod security;

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

/// The ConfigMaps and Secrets of the pod's namespace that it refers to; what is missing is not there.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub config_maps: HashMap<String, Arc<ConfigMap>>,
    pub secrets: HashMap<String, Arc<Secret>>,
}

/// Why a container cannot be configured; the message of `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);
