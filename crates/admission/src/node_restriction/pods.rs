//! What a node writes of pods: mirrors of its static ones, the status of those bound to it, evictions.

use auth::authz::references::{Kind, PodReferences};
use auth::view::Resource;
use machinery::{ApiError, Object};
use registry::Operation;
use serde_json::Value;

use super::Check;
use crate::pods::{MIRROR_POD, is_mirror};

/// Sources of volumes that need the API and name no secret or config map, and what upstream calls that.
const VOLUMES: [(&str, &str); 8] = [
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

impl Check<'_> {
    pub(super) fn pod(&self) -> Result<(), ApiError> {
        let node = self.node;
        match (self.operation(), self.object, self.admit.request.old) {
            (Operation::Create, Some(pod), _) => self.mirror_pod(pod),
            (Operation::Delete, _, Some(pod)) if pod.str(&["spec", "nodeName"]) != node => {
                self.no(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            (Operation::Delete, ..) => Ok(()),
            _ => self
                .no(format!("unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods")),
        }
    }

    fn mirror_pod(&self, pod: &Object) -> Result<(), ApiError> {
        let node = self.node;
        if !is_mirror(pod) {
            return self
                .no(format!("pod does not have {MIRROR_POD:?} annotation, node {node:?} can only create mirror pods"));
        }
        if pod.str(&["spec", "nodeName"]) != node {
            return self.no(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
        }
        self.mirror_pod_owner(pod)?;
        match api_reference(pod) {
            Some(what) => self.no(format!("node {node:?} can not create pods that reference {what}")),
            None => Ok(()),
        }
    }

    fn mirror_pod_owner(&self, pod: &Object) -> Result<(), ApiError> {
        let node = self.node;
        let owner = match pod.list(&["metadata", "ownerReferences"]) {
            [owner] => owner,
            [] => return self.no(format!("node {node:?} can only create pods with an owner reference set to itself")),
            _ => {
                let why = format!("node {node:?} can only create pods with a single owner reference set to itself");
                return self.no(why);
            }
        };
        if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != *node {
            return self.no(format!("node {node:?} can only create pods with an owner reference set to itself"));
        }
        if owner["controller"] != true {
            let why = format!("node {node:?} can only create pods with a controller owner reference set to itself");
            return self.no(why);
        }
        if owner["blockOwnerDeletion"] == true {
            return self.no(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
        }
        let registered = self.admit.view.get(Resource::NODES, "", node).ok_or_else(|| Self::missing("node", node))?;
        let uid = owner["uid"].as_str().unwrap_or_default();
        if uid != registered.uid() {
            return self.no(format!("node {node} UID mismatch: expected {uid} got {}", registered.uid()));
        }
        Ok(())
    }

    pub(super) fn pod_status(&self) -> Result<(), ApiError> {
        let node = self.node;
        let (old, new) = self.updated()?;
        if old.str(&["spec", "nodeName"]) != node {
            let why = format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself");
            return self.no(why);
        }
        if old.labels() != new.labels() {
            return self.no(format!("node {node:?} cannot update labels through pod status"));
        }
        if claims(old) != claims(new) {
            return self.no(format!("node {node:?} cannot update resource claim statues"));
        }
        const EXTENDED: [&str; 2] = ["status", "extendedResourceClaimStatus"];
        if old.get(&EXTENDED) != new.get(&EXTENDED) {
            return self.no(format!("node {node:?} cannot update extended resource claim status"));
        }
        Ok(())
    }

    pub(super) fn pod_eviction(&self) -> Result<(), ApiError> {
        let pod = self.pod_named(self.name())?;
        if pod.str(&["spec", "nodeName"]) != self.node {
            return self.no(format!("node {} can only evict pods with spec.nodeName set to itself", self.node));
        }
        Ok(())
    }

    pub(super) fn pod_named(&self, name: &str) -> Result<Object, ApiError> {
        let pod = self.admit.view.get(Resource::PODS, self.admit.request.namespace, name);
        pod.ok_or_else(|| Self::missing("pod", name))
    }
}

fn claims(pod: &Object) -> Vec<(&Value, Option<&Value>)> {
    let statuses = pod.list(&["status", "resourceClaimStatuses"]).iter();
    statuses.map(|of| (&of["name"], of.get("resourceClaimName"))).collect()
}

/// What of the API the pod would need. A node could read what its mirror pods refer to; so they refer to nothing.
fn api_reference(pod: &Object) -> Option<&'static str> {
    let mut plain = pod.clone();
    plain.remove(&["metadata", "annotations", MIRROR_POD]);
    let references = PodReferences::of(&plain);
    let named = [
        (Kind::ServiceAccount, "serviceaccounts"),
        (Kind::Secret, "secrets"),
        (Kind::ConfigMap, "configmaps"),
        (Kind::ResourceClaim, "resourceclaims"),
    ];
    let named = named.into_iter().find(|(kind, _)| references.names(*kind).next().is_some());
    let claims = !pod.list(&["spec", "resourceClaims"]).is_empty();
    let named = named.map(|(_, what)| what).or_else(|| claims.then_some("resourceclaims"));
    named.or_else(|| pod.list(&["spec", "volumes"]).iter().find_map(of_volume))
}

fn of_volume(volume: &Value) -> Option<&'static str> {
    let projected = volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten();
    let mut sources = std::iter::once(volume).chain(projected);
    sources.find_map(|source| VOLUMES.iter().find(|(path, _)| source.get(*path).is_some()).map(|(_, what)| *what))
}
