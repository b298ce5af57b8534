//! Discovery documents, made from the kind table and from groups that others serve.

use std::cmp::Ordering;

use kinds::{KindDef, Scope, Subresource};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The resources of one version of one group, in the legacy form: entries of `APIResourceList.resources`.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    /// The preferred version first.
    pub versions: Vec<Version>,
}

#[derive(Clone, Debug)]
pub struct Version {
    pub name: String,
    pub resources: Vec<Value>,
    /// Who serves it can not be asked: the resources are those of before.
    pub stale: bool,
}

/// Upstream's groups by falling priority; groups that are not here follow in the order they came.
const PRIORITY: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// All groups that are served, the core group first. `extra` are groups served by others.
pub fn groups(kinds: impl Iterator<Item = &'static KindDef>, extra: &[(String, Version)]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for kind in kinds {
        let version = version_of(&mut groups, kind.group, kind.version);
        version.resources.extend(resources(kind));
    }
    for (group, version) in extra {
        let known = version_of(&mut groups, group, &version.name);
        known.resources.extend(version.resources.iter().cloned());
        known.stale = version.stale;
    }
    for group in &mut groups {
        group.versions.sort_by(|a, b| by_stability(&a.name, &b.name));
        for version in &mut group.versions {
            version.resources.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
        }
    }
    groups.sort_by_key(|group| PRIORITY.iter().position(|name| *name == group.name).unwrap_or(PRIORITY.len()));
    groups
}

fn version_of<'a>(groups: &'a mut Vec<Group>, group: &str, version: &str) -> &'a mut Version {
    let at = position_or_push(groups, |of| of.name == group, || Group { name: group.to_owned(), versions: Vec::new() });
    let versions = &mut groups[at].versions;
    let new = || Version { name: version.to_owned(), resources: Vec::new(), stale: false };
    let at = position_or_push(versions, |of| of.name == version, new);
    &mut versions[at]
}

fn position_or_push<T>(items: &mut Vec<T>, is: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    items.iter().position(is).unwrap_or_else(|| {
        items.push(new());
        items.len() - 1
    })
}

/// Newest stable version first: `v2`, `v1`, `v2beta1`, `v1alpha1`.
fn by_stability(a: &str, b: &str) -> Ordering {
    kinds::stability(b).cmp(&kinds::stability(a)).then_with(|| a.cmp(b))
}

/// A kind and its subresources as `APIResource` entries.
fn resources(kind: &'static KindDef) -> impl Iterator<Item = Value> {
    std::iter::once(resource(kind)).chain(kind.subresources.iter().map(|sub| subresource(kind, sub)))
}

fn resource(kind: &KindDef) -> Value {
    let mut verbs: Vec<&str> = kind.verbs.iter().map(|verb| verb.name()).collect();
    verbs.sort_unstable();
    let mut resource = json!({
        "name": kind.resource, "singularName": kind.singular, "namespaced": kind.namespaced(),
        "kind": kind.kind, "verbs": verbs,
    });
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
    if !kind.virtual_kind {
        resource["storageVersionHash"] = json!(storage_version_hash(kind));
    }
    resource
}

/// Eight bytes that change when the stored version does (upstream: `discovery.StorageVersionHash`).
fn storage_version_hash(kind: &KindDef) -> String {
    use base64::Engine as _;
    let own = || kind.conversion.map_or((kind.group, kind.version), |conversion| conversion.storage);
    let (group, version) = kind.custom.map_or_else(own, |custom| (kind.group, custom.family().storage.version));
    let digest = Sha256::digest(format!("{group}/{version}/{}", kind.kind));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

fn subresource(kind: &KindDef, sub: &Subresource) -> Value {
    let (group, version, of_kind, mut verbs): (&str, &str, &str, Vec<&str>) = match sub {
        Subresource::Status => ("", "", kind.kind, vec!["get", "patch", "update"]),
        Subresource::Scale(_) => ("autoscaling", "v1", "Scale", vec!["get", "patch", "update"]),
        Subresource::Other(other) => {
            (other.group, other.version, other.kind, other.verbs.iter().map(|verb| verb.name()).collect())
        }
        Subresource::Connect { kind, verbs, .. } => ("", "", kind, verbs.to_vec()),
    };
    verbs.sort_unstable();
    let mut resource = json!({
        "name": format!("{}/{}", kind.resource, sub.name()), "singularName": "",
        "namespaced": kind.scope == Scope::Namespaced, "kind": of_kind, "verbs": verbs,
    });
    if !version.is_empty() && (group, version) != (kind.group, kind.version) {
        resource["group"] = json!(group);
        resource["version"] = json!(version);
    }
    resource
}

impl Group {
    fn group_version(&self, version: &Version) -> String {
        if self.name.is_empty() { version.name.clone() } else { format!("{}/{}", self.name, version.name) }
    }

    /// The entry of this group in an `APIGroupList`.
    fn entry(&self) -> Value {
        let versions: Vec<Value> = self
            .versions
            .iter()
            .map(|version| json!({"groupVersion": self.group_version(version), "version": version.name}))
            .collect();
        json!({"name": self.name, "preferredVersion": versions[0], "versions": versions})
    }

    /// `/apis/GROUP`
    pub fn document(&self) -> Value {
        let mut entry = self.entry();
        entry["kind"] = json!("APIGroup");
        entry["apiVersion"] = json!("v1");
        entry
    }

    /// `/apis/GROUP/VERSION`
    pub fn resource_list(&self, version: &Version) -> Value {
        let mut list = json!({
            "kind": "APIResourceList", "groupVersion": self.group_version(version), "resources": version.resources,
        });
        if !self.name.is_empty() {
            list["apiVersion"] = json!("v1");
        }
        list
    }
}

/// `/apis`
pub fn group_list(groups: &[Group]) -> Value {
    let entries: Vec<Value> = groups.iter().filter(|group| !group.name.is_empty()).map(Group::entry).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": entries})
}

/// `/api`; `address` is where clients of any network reach the server.
pub fn api_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `APIGroupDiscoveryList` of these groups: for `/api` the core group, for `/apis` all others.
pub fn aggregated<'a>(groups: impl Iterator<Item = &'a Group>) -> Value {
    let items: Vec<Value> = groups.map(aggregated_group).collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    })
}

fn aggregated_group(group: &Group) -> Value {
    let versions: Vec<Value> = group.versions.iter().map(|version| aggregated_version(group, version)).collect();
    let metadata = if group.name.is_empty() {
        json!({"creationTimestamp": null})
    } else {
        json!({"name": group.name, "creationTimestamp": null})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_version(group: &Group, version: &Version) -> Value {
    let mut resources: Vec<Value> = Vec::new();
    let (below, top): (Vec<&Value>, Vec<&Value>) =
        version.resources.iter().partition(|resource| name_of(resource).contains('/'));
    for resource in top {
        let prefix = format!("{}/", name_of(resource));
        let below = below.iter().filter(|sub| name_of(sub).starts_with(&prefix));
        let below: Vec<Value> = below.map(|sub| aggregated_subresource(group, version, sub, prefix.len())).collect();
        resources.push(aggregated_resource(group, version, resource, below));
    }
    let freshness = if version.stale { "Stale" } else { "Current" };
    json!({"version": version.name, "resources": resources, "freshness": freshness})
}

fn name_of(resource: &Value) -> &str {
    resource["name"].as_str().unwrap_or_default()
}

fn aggregated_resource(group: &Group, version: &Version, resource: &Value, below: Vec<Value>) -> Value {
    let scope = if resource["namespaced"] == json!(true) { "Namespaced" } else { "Cluster" };
    let mut aggregated = json!({
        "resource": resource["name"], "responseKind": response_kind(group, version, resource), "scope": scope,
        "singularResource": resource["singularName"], "verbs": resource["verbs"],
    });
    for field in ["shortNames", "categories"] {
        if !resource[field].is_null() {
            aggregated[field] = resource[field].clone();
        }
    }
    if !below.is_empty() {
        aggregated["subresources"] = Value::Array(below);
    }
    aggregated
}

fn aggregated_subresource(group: &Group, version: &Version, sub: &Value, prefix: usize) -> Value {
    json!({
        "subresource": name_of(sub)[prefix..], "responseKind": response_kind(group, version, sub),
        "verbs": sub["verbs"],
    })
}

fn response_kind(group: &Group, version: &Version, resource: &Value) -> Value {
    let own = json!(group.name);
    let own_version = json!(version.name);
    let has_version = !resource["version"].is_null();
    let group = if has_version && !resource["group"].is_null() { &resource["group"] } else { &own };
    let version = if has_version { &resource["version"] } else { &own_version };
    json!({"group": group, "version": version, "kind": resource["kind"]})
}

#[cfg(test)]
mod tests {
    use kinds::{OtherSubresource, Verb};

    use super::*;

    static POD: KindDef = KindDef {
        kind: "Pod",
        resource: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        subresources: &[
            Subresource::Status,
            Subresource::Other(OtherSubresource {
                name: "eviction",
                group: "policy",
                version: "v1",
                kind: "Eviction",
                verbs: &[Verb::Create],
            }),
            Subresource::Connect { name: "exec", kind: "PodExecOptions", verbs: &["get", "create"] },
        ],
        ..KindDef::PLAIN
    };
    static SCALER_1: KindDef =
        KindDef { group: "autoscaling", kind: "Scaler", resource: "scalers", singular: "scaler", ..KindDef::PLAIN };
    static SCALER_2: KindDef = KindDef { version: "v2", ..SCALER_1 };
    static NODE: KindDef =
        KindDef { kind: "Node", resource: "nodes", singular: "node", scope: Scope::Cluster, ..KindDef::PLAIN };

    fn all() -> Vec<Group> {
        let metrics = Version {
            name: "v1beta1".to_owned(),
            resources: vec![
                json!({"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get"]}),
            ],
            stale: false,
        };
        groups([&SCALER_1, &POD, &NODE, &SCALER_2].into_iter(), &[("metrics.k8s.io".to_owned(), metrics)])
    }

    #[test]
    fn groups_are_listed_by_priority_with_the_newest_version_preferred() {
        let groups = all();
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["", "autoscaling", "metrics.k8s.io"]);
        let list = group_list(&groups);
        assert_eq!(list["groups"][0]["preferredVersion"]["groupVersion"], "autoscaling/v2");
        assert_eq!(list["groups"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn versions_are_ordered_by_stability() {
        let mut versions = ["v1alpha1", "v1beta2", "v10", "v2", "v1beta10", "foo"];
        versions.sort_by(|a, b| by_stability(a, b));
        assert_eq!(versions, ["v10", "v2", "v1beta10", "v1beta2", "v1alpha1", "foo"]);
    }

    #[test]
    fn subresources_are_entries_of_their_own() {
        let groups = all();
        let list = groups[0].resource_list(&groups[0].versions[0]);
        let names: Vec<&str> = list["resources"].as_array().unwrap().iter().map(name_of).collect();
        assert_eq!(names, ["nodes", "pods", "pods/eviction", "pods/exec", "pods/status"]);
        let eviction = &list["resources"][2];
        assert_eq!((&eviction["group"], &eviction["version"]), (&json!("policy"), &json!("v1")));
        assert_eq!(list["resources"][1]["verbs"][0], "create");
    }

    #[test]
    fn the_aggregated_form_nests_subresources() {
        let groups = all();
        let document = aggregated(groups.iter());
        let pods = &document["items"][0]["versions"][0]["resources"][1];
        assert_eq!(pods["responseKind"], json!({"group": "", "version": "v1", "kind": "Pod"}));
        assert_eq!(pods["subresources"][0]["subresource"], "eviction");
        assert_eq!(pods["subresources"][0]["responseKind"]["group"], "policy");
        assert_eq!(pods["subresources"][2]["responseKind"]["kind"], "Pod");
        assert_eq!(document["items"][2]["metadata"]["name"], "metrics.k8s.io");
        assert_eq!(document["items"][2]["versions"][0]["resources"][0]["scope"], "Cluster");
    }
}
