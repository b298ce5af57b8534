//! Claims without a storage class and ingresses without a class get the cluster's default one.

use auth::view::Resource;
use machinery::{ApiError, Object};

use crate::Admit;

const STORAGE_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
const STORAGE_DEFAULT_BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";
const STORAGE_CLASS_BETA: &str = "volume.beta.kubernetes.io/storage-class";
const INGRESS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
const INGRESS_CLASS_OLD: &str = "kubernetes.io/ingress.class";
const INGRESSES: Resource = Resource { group: "networking.k8s.io", version: "v1", name: "ingresses" };

pub fn storage(admit: &Admit<'_>, claim: &mut Object) -> Result<(), ApiError> {
    let chosen = claim.get(&["spec", "storageClassName"]).is_some_and(|name| !name.is_null())
        || claim.annotation(STORAGE_CLASS_BETA).is_some();
    if !admit.creates(Resource::PERSISTENT_VOLUME_CLAIMS) || chosen {
        return Ok(());
    }
    if let Some(name) = newest_default(admit, Resource::STORAGE_CLASSES, &[STORAGE_DEFAULT, STORAGE_DEFAULT_BETA]) {
        claim.set(&["spec", "storageClassName"], name);
    }
    Ok(())
}

pub fn ingress(admit: &Admit<'_>, ingress: &mut Object) -> Result<(), ApiError> {
    let chosen = ingress.get(&["spec", "ingressClassName"]).is_some_and(|name| !name.is_null())
        || ingress.annotation(INGRESS_CLASS_OLD).is_some();
    if !admit.creates(INGRESSES) || chosen {
        return Ok(());
    }
    if let Some(name) = newest_default(admit, Resource::INGRESS_CLASSES, &[INGRESS_DEFAULT]) {
        ingress.set(&["spec", "ingressClassName"], name);
    }
    Ok(())
}

/// Of several defaults the newest counts, and of those as new the first by name.
fn newest_default(admit: &Admit<'_>, resource: Resource, annotations: &[&str]) -> Option<String> {
    let classes = admit.view.list(resource, "").into_iter();
    let is_default = |class: &Object| annotations.iter().any(|key| class.annotation(key) == Some("true"));
    let created = |class: &Object| class.str(&["metadata", "creationTimestamp"]).to_owned();
    let mut defaults: Vec<Object> = classes.filter(is_default).collect();
    defaults.sort_by(|a, b| created(b).cmp(&created(a)).then_with(|| a.name().cmp(b.name())));
    defaults.first().map(|class| class.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, object};

    fn class(cluster: &str, claim: &str) -> String {
        let case = Case::create("persistentvolumeclaims", "dev").cluster(cluster);
        case.mutate(storage, object(claim)).unwrap().str(&["spec", "storageClassName"]).to_owned()
    }

    #[test]
    fn the_newest_default_is_taken() {
        let annotation = r#"metadata.annotations={"storageclass.kubernetes.io/is-default-class":"true"}"#;
        let cluster = format!(
            "storageclasses plain\n\
             storageclasses old {annotation} metadata.creationTimestamp=\"2025-01-01T00:00:00Z\"\n\
             storageclasses new {annotation} metadata.creationTimestamp=\"2026-01-01T00:00:00Z\""
        );
        assert_eq!(class(&cluster, "{}"), "new");
        assert_eq!(class(&cluster, r#"{"spec":{"storageClassName":""}}"#), "");
        assert_eq!(class("storageclasses plain", "{}"), "");
    }

    #[test]
    fn an_ingress_gets_the_default_class() {
        let cluster =
            r#"ingressclasses web metadata.annotations={"ingressclass.kubernetes.io/is-default-class":"true"}"#;
        let case = Case::create("ingresses.networking.k8s.io", "dev").cluster(cluster);
        let admitted = case.mutate(ingress, object("{}")).unwrap();
        assert_eq!(admitted.str(&["spec", "ingressClassName"]), "web");
    }
}
