//! What holds for every entry of the kind table.

use std::collections::HashSet;

use kinds::{KindDef, Subresource, Verb};

#[test]
fn every_kind_is_found_by_resource_and_by_kind() {
    for kind in kinds::known() {
        assert_eq!(kinds::find(kind.group, kind.version, kind.resource).map(KindDef::gvk), Some(kind.gvk()));
        assert_eq!(kinds::by_gvk(&kind.gvk()).map(KindDef::gvr), Some(kind.gvr()));
    }
    assert!(kinds::find("apps", "v1", "pods").is_none());
}

#[test]
fn names_are_complete_and_unique() {
    let mut seen = HashSet::new();
    for kind in kinds::known() {
        assert!(seen.insert((kind.group, kind.version, kind.resource)), "{kind:?} is listed twice");
        assert_eq!(kind.singular, kind.kind.to_lowercase(), "{kind:?}");
        assert!(kind.schema.ends_with(kind.kind), "{kind:?}: {}", kind.schema);
        assert!(kind.schema.starts_with("io.k8s."), "{kind:?}: {}", kind.schema);
        assert_eq!(kind.virtual_kind, kind.verbs == [Verb::Create], "{kind:?}");
    }
}

#[test]
fn stored_versions_are_served_and_not_converted() {
    for kind in kinds::known() {
        if let Some(conversion) = kind.conversion {
            let (group, version) = conversion.storage;
            let stored = kinds::find(group, version, kind.resource).unwrap_or_else(|| panic!("{kind:?}"));
            assert!(stored.conversion.is_none(), "{kind:?}");
        }
    }
}

#[test]
fn subresources_are_found_by_name() {
    let names = |group, resource| {
        let kind = kinds::find(group, "v1", resource).unwrap();
        kind.subresources.iter().map(Subresource::name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        names("", "pods"),
        "attach binding ephemeralcontainers eviction exec log portforward proxy resize status"
    );
    assert_eq!(names("apps", "deployments"), "scale status");
    assert_eq!(names("", "namespaces"), "finalize status");
    assert_eq!(names("", "configmaps"), "");
}
