//! Namespace.

use machinery::Object;
use machinery::field::ErrorList;
use machinery::validation::{dns1123_label, qualified_name};
use serde_json::json;

use crate::check::At;
use crate::columns::{AGE, NAME};
use crate::def::Description::Text;
use crate::def::{
    Column, KindDef, OtherSubresource, Scope, SelectableField, Strategy, Subresource, Verb, copy_field, keep_status,
};

/// The label that carries the namespace's name.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The finalizer of the namespace controller.
const FINALIZER: &str = "kubernetes";

pub static NAMESPACE: KindDef = KindDef {
    kind: "Namespace",
    resource: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    scope: Scope::Cluster,
    schema: "io.k8s.api.core.v1.Namespace",
    verbs: &[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Update, Verb::Watch],
    subresources: &[
        Subresource::Other(OtherSubresource {
            name: "finalize",
            group: "",
            version: "",
            kind: "Namespace",
            verbs: &[Verb::Update],
        }),
        Subresource::Status,
    ],
    selectable_fields: &[SelectableField { name: "status.phase", value: phase }],
    columns: &[
        NAME,
        Column::string("Status", Text("The status of the namespace"), |namespace| phase(namespace).into()),
        AGE,
    ],
    strategy: Strategy {
        default: default_namespace,
        prepare_create,
        prepare_update,
        prepare_subresource_update,
        validate,
        validate_status_update,
        validate_subresource_update: |new, _, _| validate(new),
        validate_name: dns1123_label,
        prepare_delete: |namespace| namespace.set(&["status", "phase"], "Terminating"),
        deletion_blocked: |namespace| !namespace.list(&["spec", "finalizers"]).is_empty(),
        generation: false,
        ..Strategy::WITH_STATUS
    },
    ..KindDef::PLAIN
};

fn phase(namespace: &Object) -> String {
    namespace.str(&["status", "phase"]).to_owned()
}

fn default_namespace(namespace: &mut Object) {
    label_with_name(namespace);
    namespace.set_default(&["status", "phase"], "Active");
}

fn label_with_name(namespace: &mut Object) {
    let name = namespace.name().to_owned();
    if !name.is_empty() {
        namespace.set(&["metadata", "labels", NAME_LABEL], name);
    }
}

/// The label is repeated here because a generated name comes after defaulting.
fn prepare_create(namespace: &mut Object) {
    label_with_name(namespace);
    namespace.set(&["status"], json!({"phase": "Active"}));
    let mut finalizers = namespace.list(&["spec", "finalizers"]).to_vec();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.into());
    }
    namespace.set(&["spec", "finalizers"], finalizers);
}

fn prepare_update(new: &mut Object, old: &Object) {
    copy_field(new, old, "spec");
    keep_status(new, old);
}

/// `finalize` writes the finalizers of the spec.
fn prepare_subresource_update(new: &mut Object, old: &Object, _subresource: &str) {
    keep_status(new, old);
}

fn validate(namespace: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    for finalizer in At::field(namespace, "spec").child("finalizers").items() {
        errors.extend(finalizer.check(qualified_name));
        if !finalizer.text().contains('/') && finalizer.text() != FINALIZER {
            errors.push(finalizer.invalid("name is neither a standard finalizer name nor is it fully qualified"));
        }
    }
    errors
}

fn validate_status_update(new: &Object, _old: &Object) -> ErrorList {
    let status = At::field(new, "status");
    // Upstream spells the path so.
    let phase = status.child("phase").at(status.path.child("Phase"));
    let problem = match (new.is_deleting(), phase.text()) {
        (false, "Active") | (true, "Terminating") => return ErrorList::new(),
        (false, _) => "may only be 'Active' if `deletionTimestamp` is empty",
        (true, _) => "may only be 'Terminating' if `deletionTimestamp` is not empty",
    };
    vec![phase.invalid(problem)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_namespace_is_active_and_waits_for_its_controller() {
        let mut namespace =
            Object::from_value(json!({"metadata": {"name": "a"}, "status": {"phase": "Terminating"}})).unwrap();
        default_namespace(&mut namespace);
        prepare_create(&mut namespace);
        assert_eq!(
            namespace.into_value(),
            json!({
            "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
        );
    }
}
