//! Owner references, finalizers, conditions and selectors.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::core::{Selector, SelectorExt};
use kube::{Resource, ResourceExt};

use crate::Error;

/// The owner that manages the object, if there is one.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// The managing owner, if it is of this kind and API group.
pub fn controller_of_kind<K: Resource<DynamicType = ()>>(meta: &ObjectMeta) -> Option<&OwnerReference> {
    controller_of(meta).filter(|owner| owner.kind == K::kind(&()) && group_of(&owner.api_version) == K::group(&()))
}

/// The group of an `apiVersion`: empty for `v1`.
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

pub fn is_controlled_by(meta: &ObjectMeta, owner: &ObjectMeta) -> bool {
    controller_of(meta).is_some_and(|reference| Some(&reference.uid) == owner.uid.as_ref())
}

/// A reference that makes `owner` the manager of a new object and keeps it until the object is gone.
pub fn controller_ref<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.name_any(),
        uid: owner.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

pub fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|held| held == finalizer)
}

pub fn is_terminating(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

pub fn created_at(meta: &ObjectMeta) -> Option<Timestamp> {
    meta.creation_timestamp.as_ref().map(|time| time.0)
}

pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

pub fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

pub fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

pub fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

/// A compiled `metav1.LabelSelector`. Upstream's rule: the null selector matches nothing, the empty one all.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels(Option<Selector>);

impl Labels {
    pub fn compile(selector: Option<&LabelSelector>) -> Result<Self, Error> {
        let compiled = selector.cloned().map(Selector::try_from).transpose();
        compiled.map(Self).map_err(|error| Error::Final(format!("invalid label selector: {error}")))
    }

    /// The selector of a Service or a ReplicationController: every pair must be there.
    pub fn pairs(pairs: &BTreeMap<String, String>) -> Self {
        Self(Some(pairs.iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
    }

    pub fn matches(&self, meta: &ObjectMeta) -> bool {
        let Some(selector) = &self.0 else { return false };
        match &meta.labels {
            Some(labels) => selector.matches(labels),
            None => selector.matches(&BTreeMap::new()),
        }
    }

    /// Whether every object matches.
    pub fn selects_all(&self) -> bool {
        self.0.as_ref().is_some_and(Selector::selects_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use k8s_openapi::api::core::v1::Pod;

    #[test]
    fn a_controller_reference_names_its_kind() {
        let mut owner = ReplicaSet::default();
        owner.metadata.name = Some("web".to_owned());
        owner.metadata.uid = Some("u1".to_owned());
        let pod = ObjectMeta { owner_references: Some(vec![controller_ref(&owner)]), ..ObjectMeta::default() };
        assert_eq!(controller_of_kind::<ReplicaSet>(&pod).map(|owner| owner.name.as_str()), Some("web"));
        assert!(controller_of_kind::<Pod>(&pod).is_none());
        assert!(is_controlled_by(&pod, &owner.metadata));
    }

    #[test]
    fn a_null_selector_matches_nothing_and_an_empty_one_everything() {
        let meta = ObjectMeta::default();
        assert!(!Labels::compile(None).unwrap().matches(&meta));
        assert!(Labels::compile(Some(&LabelSelector::default())).unwrap().matches(&meta));
    }
}
