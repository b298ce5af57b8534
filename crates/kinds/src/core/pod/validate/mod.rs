//! Validation of pods and pod templates, with upstream's texts.
//!
//! upstream: pkg/apis/core/validation

mod containers;
mod env;
mod handlers;
pub mod resources;
mod scheduling;
mod security;
mod spec;
mod update;
pub mod volumes;

#[cfg(test)]
mod tests;

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{validate_annotations, validate_labels};

use crate::check::At;

pub use scheduling::{validate_node_selector, validate_taints};
pub use spec::{validate_ip, validate_spec};
pub use update::{validate_ephemeral_update, validate_resize, validate_status_update, validate_update};

/// A pod by itself.
pub fn validate(pod: &Object) -> ErrorList {
    let spec = At::field(pod, "spec");
    let mut errors = validate_spec(&spec);
    errors.extend(spec::validate_pod_only(&spec));
    errors
}

/// The template of pods at `template`.
pub fn validate_template(template: &At) -> ErrorList {
    let metadata = template.child("metadata");
    let strings = |at: &At| at.entries().iter().map(|(key, at)| ((*key).to_owned(), at.text().to_owned())).collect();
    let (labels, annotations) = (metadata.child("labels"), metadata.child("annotations"));
    let mut errors = validate_labels(&strings(&labels), &labels.path);
    errors.extend(validate_annotations(&strings(&annotations), &annotations.path));
    let spec = template.child("spec");
    errors.extend(validate_spec(&spec));
    if !spec.child("ephemeralContainers").is_empty() {
        let text = "ephemeral containers not allowed in pod template";
        errors.push(spec.child("ephemeralContainers").invalid(text));
    }
    errors
}
