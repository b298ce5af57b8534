//! Managers of an object's replicas, as the managers of its `autoscaling/v1` Scale, and back.

use serde_json::Value;

use super::managed::{Identity, Managed};
use super::path::Element;
use super::set::Set;

const SCALE_VERSION: &str = "autoscaling/v1";
const SCALE_REPLICAS: &[&str] = &["spec", "replicas"];

/// The managers of the Scale: those who own the replicas at `path`.
pub fn to_scale(parent: Option<&Value>, path: &[&str]) -> Option<Value> {
    let mut managed = Managed::decode(parent).unwrap_or_default();
    let path = Element::fields(path);
    managed.0.retain(|entry| entry.fields.has(&path));
    for entry in &mut managed.0 {
        entry.fields = Set::of_fields(&[SCALE_REPLICAS]);
        entry.identity.api_version = SCALE_VERSION.to_owned();
    }
    managed.encode()
}

/// The managers of the object after a write of its Scale, which left `scale` as the managers of that.
pub fn from_scale(parent: Option<&Value>, scale: Option<&Value>, path: &[&str], api_version: &str) -> Option<Value> {
    let mut managed = Managed::decode(parent).unwrap_or_default();
    let mut scale = Managed::decode(scale).unwrap_or_default();
    let replicas = Set::of_fields(&[path]);
    let path = Element::fields(path);
    for entry in managed.0.iter_mut().filter(|entry| entry.fields.has(&path)) {
        let same = |of: &Identity| {
            let key = |of: &Identity| (of.manager.clone(), of.operation, of.subresource.clone());
            key(of) == key(&entry.identity)
        };
        match scale.0.iter().position(|held| same(&held.identity)) {
            Some(at) => drop(scale.0.remove(at)),
            None => entry.fields = entry.fields.difference(&replicas),
        }
    }
    managed.drop_empty();
    for entry in scale.0 {
        let identity = Identity { api_version: api_version.to_owned(), ..entry.identity };
        managed.extend(identity, replicas.clone(), entry.time);
    }
    managed.encode()
}
