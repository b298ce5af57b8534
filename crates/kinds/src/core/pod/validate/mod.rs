//! Validation of pods and pod templates, with upstream's texts.
//!
//! upstream: pkg/apis/core/validation

pub mod annotations;
mod containers;
pub mod drivers;
mod env;
mod handlers;
mod os;
mod projected;
pub mod resources;
mod scheduling;
mod security;
mod spec;
mod status;
mod update;
pub mod volumes;

#[cfg(test)]
mod tests;

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{validate_annotations, validate_labels};

use crate::check::At;

use annotations::validate_pod_annotations;

pub use resources::validate_overhead;
pub use scheduling::{validate_node_selector, validate_taints, validate_tolerations};
pub use spec::validate_spec;
pub use status::validate_status_update;
pub use update::{validate_ephemeral_update, validate_resize, validate_update};

/// A pod by itself.
pub fn validate(pod: &Object) -> ErrorList {
    let spec = At::field(pod, "spec");
    let mut errors = validate_pod_annotations(&At::field(pod, "metadata").child("annotations"), &spec);
    errors.extend(validate_spec(&spec, Some(pod.name())));
    errors.extend(spec::validate_pod_only(&spec));
    errors
}

/// What only new pods are checked for.
pub fn validate_create(pod: &Object) -> ErrorList {
    spec::validate_new(&At::field(pod, "spec"))
}

/// The template of pods at `template`.
pub fn validate_template(template: &At) -> ErrorList {
    let spec = template.child("spec");
    let mut errors = validate_template_metadata(template);
    errors.extend(validate_spec(&spec, None));
    if !spec.child("ephemeralContainers").is_empty() {
        let text = "ephemeral containers not allowed in pod template";
        errors.push(spec.child("ephemeralContainers").forbidden(text));
    }
    errors
}

/// Labels and annotations of a template. Upstream leaves `metadata` out of their paths.
pub fn validate_template_metadata(template: &At) -> ErrorList {
    let metadata = template.child("metadata");
    let mut errors = validate_labels(&metadata.child("labels").strings(), &template.path.child("labels"));
    let annotations = metadata.child("annotations").at(template.path.child("annotations"));
    errors.extend(validate_annotations(&annotations.strings(), &annotations.path));
    errors.extend(validate_pod_annotations(&annotations, &template.child("spec")));
    errors
}
