//! storagemigration.k8s.io/v1beta1, where it is asked for.

mod storage_version_migration;

use crate::def::KindDef;

pub use storage_version_migration::STORAGE_VERSION_MIGRATION;

pub const BETA: &[&KindDef] = &[&STORAGE_VERSION_MIGRATION];
