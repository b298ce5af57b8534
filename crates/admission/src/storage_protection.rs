//! Claims, volumes and classes of attributes are made with a finalizer, so that none goes while it is used.

use auth::view::Resource;
use machinery::{ApiError, Object};

use crate::Admit;

const VOLUME_ATTRIBUTES_CLASSES: Resource =
    Resource { group: "storage.k8s.io", version: "v1", name: "volumeattributesclasses" };

const FINALIZERS: [(Resource, &str); 3] = [
    (Resource::PERSISTENT_VOLUMES, "kubernetes.io/pv-protection"),
    (Resource::PERSISTENT_VOLUME_CLAIMS, "kubernetes.io/pvc-protection"),
    (VOLUME_ATTRIBUTES_CLASSES, "kubernetes.io/vac-protection"),
];

pub fn mutate(admit: &Admit<'_>, object: &mut Object) -> Result<(), ApiError> {
    let Some((_, finalizer)) = FINALIZERS.iter().find(|(resource, _)| admit.creates(*resource)) else { return Ok(()) };
    let mut finalizers = object.list(&["metadata", "finalizers"]).to_vec();
    if !finalizers.iter().any(|held| held == finalizer) {
        finalizers.push((*finalizer).into());
        object.set(&["metadata", "finalizers"], finalizers);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Case, object};

    #[test]
    fn what_is_stored_on_is_protected_from_the_start() {
        let (claim, volume) = ("kubernetes.io/pvc-protection", "kubernetes.io/pv-protection");
        for (resource, held, expected) in [
            ("persistentvolumeclaims", json!([]), json!([claim])),
            ("persistentvolumeclaims", json!(["example.com/a"]), json!(["example.com/a", claim])),
            ("persistentvolumeclaims", json!([claim]), json!([claim])),
            ("persistentvolumes", json!([]), json!([volume])),
            ("volumeattributesclasses.storage.k8s.io", json!([]), json!(["kubernetes.io/vac-protection"])),
            ("configmaps", json!([]), json!([])),
        ] {
            let made = object(&json!({"metadata": {"finalizers": held}}).to_string());
            let made = Case::create(resource, "").mutate(mutate, made).unwrap();
            assert_eq!(json!(made.list(&["metadata", "finalizers"])), expected, "{resource} {held}");
        }
    }

    #[test]
    fn an_update_may_take_the_finalizer_away() {
        let case = Case::update("persistentvolumeclaims", "dev", object("{}"));
        assert_eq!(case.mutate(mutate, object("{}")).unwrap(), object("{}"));
    }
}
