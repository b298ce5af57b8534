//! apimachinery's validation: formats of names, and what all objects have in common.

mod formats;
mod labels;
mod meta;
mod options;

pub use formats::*;
pub use labels::{
    validate_annotations, validate_label_name, validate_label_selector, validate_labels, validate_operator,
    validate_requirement,
};
pub use meta::{immutable, validate_object_meta, validate_object_meta_update, validate_standard_finalizers};
pub use options::{validate_dry_run, validate_field_manager, validate_field_validation};
