//! storage.k8s.io/v1, and v1beta1 where it is asked for.

mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod storage_class;
mod volume_attachment;
mod volume_attributes_class;

use crate::def::KindDef;

pub use csi_driver::CSI_DRIVER;
pub use csi_node::CSI_NODE;
pub use csi_storage_capacity::CSI_STORAGE_CAPACITY;
pub use storage_class::STORAGE_CLASS;
pub use volume_attachment::VOLUME_ATTACHMENT;
pub use volume_attributes_class::{VOLUME_ATTRIBUTES_CLASS, VOLUME_ATTRIBUTES_CLASS_V1BETA1};

pub const BETA: &[&KindDef] = &[&VOLUME_ATTRIBUTES_CLASS_V1BETA1];

pub const KINDS: &[&KindDef] =
    &[&CSI_DRIVER, &CSI_NODE, &CSI_STORAGE_CAPACITY, &STORAGE_CLASS, &VOLUME_ATTACHMENT, &VOLUME_ATTRIBUTES_CLASS];
