//! A node writes its own Node, lease, CSINode and slices, the status of its own pods, and asks for tokens and
//! certificates for them.
//!
//! upstream: plugin/pkg/admission/noderestriction

mod credentials;
mod pods;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use auth::csr::{KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER, Request};
use machinery::{ApiError, GroupResource, Object};
use registry::Operation;

use crate::Admit;
use crate::subject::operation;

const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
const LEASE_NAMESPACE: &str = "kube-node-lease";
const RESTRICTED: &str = "node-restriction.kubernetes.io";
const CONFIG_SOURCE: [&str; 2] = ["spec", "configSource"];

/// Labels in Kubernetes' own namespaces that a node may set on itself.
const NODE_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/instance-type",
];
const NODE_LABEL_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// Changes nothing, but refuses before validation does, as upstream's does.
pub fn mutate(admit: &Admit<'_>, object: &mut Object) -> Result<(), ApiError> {
    validate(admit, Some(object))
}

/// Looks again at what others have made of the object.
pub fn validate(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    let user = &admit.request.context.user;
    if !user.in_group(NODES) {
        return Ok(());
    }
    let Some(node) = user.name.strip_prefix(NODE_PREFIX).filter(|node| !node.is_empty()) else {
        let why = format!("could not determine node from user {:?}", user.name);
        return if user.name == NODE_PREFIX { Err(admit.forbidden(object, why)) } else { Ok(()) };
    };
    let check = Check { admit, node, object };
    let kind = admit.request.kind;
    match (kind.group, kind.resource, admit.request.subresource) {
        ("", "pods", "") => check.pod(),
        ("", "pods", "status") => check.pod_status(),
        ("", "pods", "eviction") => check.pod_eviction(),
        ("", "pods", other) => {
            check.no(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
        }
        ("", "nodes", _) => check.own_node(),
        ("", "persistentvolumeclaims", "status") => check.claim_status(),
        ("", "persistentvolumeclaims", _) => check.no("may only update PVC status"),
        ("", "serviceaccounts", "token") => check.token(),
        ("certificates.k8s.io", "podcertificaterequests", _) => check.pod_certificate(),
        ("certificates.k8s.io", "certificatesigningrequests", "") => check.signing_request(),
        ("coordination.k8s.io", "leases", _) => check.lease(),
        ("storage.k8s.io", "csinodes", _) => check.named("CSINode"),
        ("resource.k8s.io", "resourceslices", _) => check.resource_slice(),
        _ => Ok(()),
    }
}

struct Check<'a> {
    admit: &'a Admit<'a>,
    node: &'a str,
    object: Option<&'a Object>,
}

impl Check<'_> {
    fn no(&self, why: impl AsRef<str>) -> Result<(), ApiError> {
        Err(self.admit.forbidden(self.object, why))
    }

    fn operation(&self) -> Operation {
        self.admit.request.operation
    }

    /// The name in the path, or that of the object on creation.
    fn name(&self) -> &str {
        match self.admit.request.name {
            "" => self.object.map_or("", Object::name),
            name => name,
        }
    }

    /// For what can only be an update.
    fn updated(&self) -> Result<(&Object, &Object), ApiError> {
        match (self.operation(), self.admit.request.old, self.object) {
            (Operation::Update, Some(old), Some(new)) => Ok((old, new)),
            (other, ..) => {
                Err(self.admit.forbidden(self.object, format!("unexpected operation {:?}", operation(other))))
            }
        }
    }

    /// As upstream's listers say it: by the singular.
    fn missing(singular: &str, name: &str) -> ApiError {
        ApiError::not_found(&GroupResource::new("", singular), name)
    }

    fn own_node(&self) -> Result<(), ApiError> {
        let node = self.node;
        if self.name() != node {
            return self.no(format!("node {node:?} is not allowed to modify node {:?}", self.name()));
        }
        match (self.operation(), self.admit.request.old, self.object) {
            (Operation::Create, _, Some(new)) => self.new_node(new),
            (Operation::Update, Some(old), Some(new)) => self.changed_node(old, new),
            _ => Ok(()),
        }
    }

    fn new_node(&self, new: &Object) -> Result<(), ApiError> {
        let node = self.node;
        if new.get(&CONFIG_SOURCE).is_some() {
            return self.no(format!("node {node:?} is not allowed to create pods with a non-nil configSource"));
        }
        match forbidden_labels(&new.labels(), &BTreeMap::new()) {
            Some(labels) => self.no(format!("node {node:?} is not allowed to set the following labels: {labels}")),
            None => Ok(()),
        }
    }

    fn changed_node(&self, old: &Object, new: &Object) -> Result<(), ApiError> {
        let node = self.node;
        let changed = |path: &[&str]| old.list(path) != new.list(path);
        if new.get(&CONFIG_SOURCE).is_some_and(|source| old.get(&CONFIG_SOURCE) != Some(source)) {
            return self
                .no(format!("node {node:?} is not allowed to update configSource to a new non-nil configSource"));
        }
        if changed(&["spec", "taints"]) {
            return self.no(format!("node {node:?} is not allowed to modify taints"));
        }
        if changed(&["metadata", "ownerReferences"]) {
            return self.no(format!("node {node:?} is not allowed to modify ownerReferences"));
        }
        match forbidden_labels(&new.labels(), &old.labels()) {
            Some(labels) => self.no(format!("is not allowed to modify labels: {labels}")),
            None => Ok(()),
        }
    }

    fn claim_status(&self) -> Result<(), ApiError> {
        let (old, new) = self.updated()?;
        let rest = |claim: &Object| {
            let mut claim = claim.clone();
            for field in ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"] {
                claim.remove(&["status", field]);
            }
            for field in ["resourceVersion", "managedFields"] {
                claim.remove(&["metadata", field]);
            }
            claim
        };
        if rest(old) != rest(new) {
            return self.no(format!(
                "node {:?} is not allowed to update fields other than status.quantity and status.conditions",
                self.node
            ));
        }
        Ok(())
    }

    /// A certificate that makes its holder a node makes it this one.
    fn signing_request(&self) -> Result<(), ApiError> {
        let (Operation::Create, Some(csr)) = (self.operation(), self.object) else { return Ok(()) };
        if ![KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER].contains(&csr.str(&["spec", "signerName"])) {
            return Ok(());
        }
        let wanted = format!("{NODE_PREFIX}{}", self.node);
        match Request::parse(csr) {
            Ok(request) if request.subject_name == wanted => Ok(()),
            Ok(_) => self.no(format!("can only create a node CSR with CN={wanted}")),
            Err(error) => self.no(format!("unable to parse csr: {error}")),
        }
    }

    fn lease(&self) -> Result<(), ApiError> {
        if self.admit.request.namespace != LEASE_NAMESPACE {
            return self.no(format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"));
        }
        self.named("node lease")
    }

    fn named(&self, what: &str) -> Result<(), ApiError> {
        if self.name() == self.node {
            return Ok(());
        }
        self.no(format!("can only access {what} with the same name as the requesting node"))
    }

    fn resource_slice(&self) -> Result<(), ApiError> {
        let owner = |of: &Object| of.str(&["spec", "nodeName"]) == self.node;
        match (self.operation(), self.object, self.admit.request.old) {
            (Operation::Create, Some(slice), _) if !owner(slice) => {
                self.no("can only create ResourceSlice with the same NodeName as the requesting node")
            }
            (Operation::Delete, _, Some(old)) if !owner(old) => {
                self.no("can only delete ResourceSlice with the same NodeName as the requesting node")
            }
            _ => Ok(()),
        }
    }
}

type Labels = BTreeMap<String, String>;

/// The changed labels that a node may not change, joined; nothing if there are none.
fn forbidden_labels(new: &Labels, old: &Labels) -> Option<String> {
    let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let changed = keys.into_iter().filter(|key| new.get(*key) != old.get(*key));
    let forbidden: Vec<&str> = changed.map(String::as_str).filter(|key| is_forbidden(key)).collect();
    (!forbidden.is_empty()).then(|| forbidden.join(", "))
}

fn is_forbidden(label: &str) -> bool {
    let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
    let within = |of: &str| namespace == of || namespace.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'));
    if within(RESTRICTED) {
        return true;
    }
    let kubernetes = within("kubernetes.io") || within("k8s.io");
    kubernetes && !NODE_LABELS.contains(&label) && !NODE_LABEL_NAMESPACES.iter().any(|of| within(of))
}
