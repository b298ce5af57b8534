//! A node writes its own Node, lease and CSINode, the status of its own pods, and tokens for them.

use std::collections::BTreeSet;

use auth::authz::references::{Kind, PodReferences};
use auth::view::Resource;
use machinery::{ApiError, GroupResource, Object};
use registry::Operation;

use crate::Admit;
use crate::pods::{MIRROR_POD, is_mirror};

const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
const LEASE_NAMESPACE: &str = "kube-node-lease";
const RESTRICTED: &str = "node-restriction.kubernetes.io";

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

    fn pod(&self) -> Result<(), ApiError> {
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
        self.mirror_pod_references(pod)
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
        let Some(registered) = self.admit.view.get(Resource::NODES, "", node) else {
            return Err(ApiError::not_found(&GroupResource::new("", "nodes"), node));
        };
        let uid = owner["uid"].as_str().unwrap_or_default();
        if uid != registered.uid() {
            return self.no(format!("node {node} UID mismatch: expected {uid} got {}", registered.uid()));
        }
        Ok(())
    }

    /// A node could read what its mirror pods refer to; so they refer to nothing.
    fn mirror_pod_references(&self, pod: &Object) -> Result<(), ApiError> {
        let mut plain = pod.clone();
        plain.remove(&["metadata", "annotations", MIRROR_POD]);
        let references = PodReferences::of(&plain);
        let kinds = [
            (Kind::ServiceAccount, "a service account"),
            (Kind::Secret, "secrets"),
            (Kind::ConfigMap, "configmaps"),
            (Kind::Claim, "persistentvolumeclaims"),
            (Kind::ResourceClaim, "resourceclaims"),
        ];
        match kinds.into_iter().find(|(kind, _)| references.names(*kind).next().is_some()) {
            Some((_, what)) => self.no(format!("node {:?} can not create pods that reference {what}", self.node)),
            None => Ok(()),
        }
    }

    fn pod_status(&self) -> Result<(), ApiError> {
        let node = self.node;
        let (Operation::Update, Some(old), Some(new)) = (self.operation(), self.admit.request.old, self.object) else {
            return self.no("unexpected operation");
        };
        if old.str(&["spec", "nodeName"]) != node {
            let why = format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself");
            return self.no(why);
        }
        if old.labels() != new.labels() {
            return self.no(format!("node {node:?} cannot update labels through pod status"));
        }
        const CLAIMS: [&str; 2] = ["status", "resourceClaimStatuses"];
        if old.list(&CLAIMS) != new.list(&CLAIMS) {
            return self.no(format!("node {node:?} cannot update resource claim statues"));
        }
        Ok(())
    }

    fn pod_eviction(&self) -> Result<(), ApiError> {
        let namespace = self.admit.request.namespace;
        let Some(pod) = self.admit.view.get(Resource::PODS, namespace, self.name()) else {
            return Err(ApiError::not_found(&GroupResource::new("", "pods"), self.name()));
        };
        if pod.str(&["spec", "nodeName"]) != self.node {
            return self.no(format!("node {} can only evict pods with spec.nodeName set to itself", self.node));
        }
        Ok(())
    }

    fn own_node(&self) -> Result<(), ApiError> {
        let node = self.node;
        if self.name() != node {
            return self.no(format!("node {node:?} is not allowed to modify node {:?}", self.name()));
        }
        let labels = |of: Option<&Object>| of.map(Object::labels).unwrap_or_default();
        match (self.operation(), self.object) {
            (Operation::Create, Some(new)) => match forbidden_labels(&labels(Some(new)), &labels(None)) {
                Some(forbidden) => {
                    self.no(format!("node {node:?} is not allowed to set the following labels: {forbidden}"))
                }
                None => Ok(()),
            },
            (Operation::Update, Some(new)) => {
                let old = self.admit.request.old;
                let taints = |of: &Object| of.list(&["spec", "taints"]).to_vec();
                if old.is_some_and(|old| taints(old) != taints(new)) {
                    return self.no(format!("node {node:?} is not allowed to modify taints"));
                }
                match forbidden_labels(&labels(Some(new)), &labels(old)) {
                    Some(forbidden) => self.no(format!("is not allowed to modify labels: {forbidden}")),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn claim_status(&self) -> Result<(), ApiError> {
        let (Operation::Update, Some(old), Some(new)) = (self.operation(), self.admit.request.old, self.object) else {
            return self.no("unexpected operation");
        };
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
                "node {:?} is not allowed to update fields other than status.capacity and status.conditions",
                self.node
            ));
        }
        Ok(())
    }

    /// A node asks for tokens that end with one of its own pods.
    fn token(&self) -> Result<(), ApiError> {
        let Some(request) = self.object else { return Ok(()) };
        let text = |field: &str| request.str(&["spec", "boundObjectRef", field]);
        if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
            return self.no("node requested token not bound to a pod");
        }
        let uid = text("uid");
        if uid.is_empty() {
            return self.no("node requested token with a pod binding without a uid");
        }
        let namespace = self.admit.request.namespace;
        let Some(pod) = self.admit.view.get(Resource::PODS, namespace, text("name")) else {
            return Err(ApiError::not_found(&GroupResource::new("", "pods"), text("name")));
        };
        if pod.uid() != uid {
            return self.no(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            ));
        }
        if pod.str(&["spec", "nodeName"]) != self.node {
            return self.no("node requested token bound to a pod scheduled on a different node");
        }
        Ok(())
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
            (Operation::Update, _, Some(old)) if !owner(old) => {
                self.no("can only update ResourceSlice with the same NodeName as the requesting node")
            }
            (Operation::Delete, _, Some(old)) if !owner(old) => {
                self.no("can only delete ResourceSlice with the same NodeName as the requesting node")
            }
            _ => Ok(()),
        }
    }
}

type Labels = std::collections::BTreeMap<String, String>;

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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{Case, object};

    const CLUSTER: &str = r#"
        nodes n1 metadata.uid="u1"
        pods/dev mine metadata.uid="p1" spec={"nodeName":"n1"}
        pods/dev other metadata.uid="p2" spec={"nodeName":"n2"}
    "#;

    fn node(case: Case) -> Case {
        case.cluster(CLUSTER).user("system:node:n1", &["system:nodes"])
    }

    fn message(result: Result<(), ApiError>) -> String {
        result.map_or_else(|error| error.message, |()| "ok".to_owned())
    }

    #[test]
    fn a_node_changes_itself_within_limits() {
        let labels = |labels: &str| object(&format!(r#"{{"metadata":{{"name":"n1","labels":{labels}}}}}"#));
        let create = |new: Object| message(node(Case::create("nodes", "")).validate(validate, Some(&new)));
        assert_eq!(create(labels(r#"{"kubernetes.io/hostname":"a","x":"y","node.kubernetes.io/z":"1"}"#)), "ok");
        assert_eq!(
            create(labels(r#"{"node-restriction.kubernetes.io/a":"b","kubernetes.io/role":"x"}"#)),
            "nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the following labels: kubernetes.io/role, \
             node-restriction.kubernetes.io/a"
        );
        assert_eq!(
            create(object(r#"{"metadata":{"name":"n2"}}"#)),
            "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\""
        );
        let update = |new: Object| {
            let old = object(r#"{"metadata":{"name":"n1"},"spec":{"taints":[{"key":"a"}]}}"#);
            message(node(Case::update("nodes", "", old)).validate(validate, Some(&new)))
        };
        assert_eq!(
            update(object(r#"{"metadata":{"name":"n1"}}"#)),
            "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints"
        );
        assert_eq!(
            update(object(r#"{"metadata":{"name":"n1","labels":{"k8s.io/a":"b"}},"spec":{"taints":[{"key":"a"}]}}"#)),
            "nodes \"n1\" is forbidden: is not allowed to modify labels: k8s.io/a"
        );
    }

    #[test]
    fn a_node_reports_on_its_own_pods() {
        let status = |on: &str, labels: &str| {
            let pod = |labels: &str| {
                object(&format!(r#"{{"metadata":{{"name":"a","labels":{labels}}},"spec":{{"nodeName":"{on}"}}}}"#))
            };
            let case = node(Case::update("pods/status", "dev", pod("{}")));
            message(case.validate(validate, Some(&pod(labels))))
        };
        assert_eq!(status("n1", "{}"), "ok");
        assert_eq!(
            status("n2", "{}"),
            "pods \"a\" is forbidden: node \"n1\" can only update pod status for pods with spec.nodeName set to itself"
        );
        assert_eq!(
            status("n1", r#"{"a":"b"}"#),
            "pods \"a\" is forbidden: node \"n1\" cannot update labels through pod status"
        );
    }

    #[test]
    fn a_node_makes_mirror_pods_that_refer_to_nothing() {
        let create = |change: &dyn Fn(&mut Object)| {
            let mut pod = object(
                r#"{"metadata":{"name":"m","annotations":{"kubernetes.io/config.mirror":"x"},"ownerReferences":[
                {"apiVersion":"v1","kind":"Node","name":"n1","uid":"u1","controller":true}]},
                "spec":{"nodeName":"n1","containers":[{"name":"c"}]}}"#,
            );
            change(&mut pod);
            message(node(Case::create("pods", "dev")).validate(validate, Some(&pod)))
        };
        assert_eq!(create(&|_| {}), "ok");
        assert!(create(&|pod| pod.set(&["spec", "nodeName"], "n2")).contains("spec.nodeName set to itself"));
        assert!(
            create(&|pod| pod.set(&["metadata", "annotations"], Value::Null)).contains("can only create mirror pods")
        );
        assert!(
            create(&|pod| pod.set(&["spec", "serviceAccountName"], "x")).ends_with("that reference a service account")
        );
        let volume = serde_json::json!([{"name": "v", "secret": {"secretName": "s"}}]);
        assert!(create(&|pod| pod.set(&["spec", "volumes"], volume.clone())).ends_with("that reference secrets"));
    }

    #[test]
    fn a_node_gets_tokens_for_its_own_pods() {
        let token = |pod: &str, uid: &str| {
            let request = object(&format!(
                r#"{{"spec":{{"boundObjectRef":{{"apiVersion":"v1","kind":"Pod","name":"{pod}","uid":"{uid}"}}}}}}"#
            ));
            message(node(Case::create("serviceaccounts/token", "dev")).validate(validate, Some(&request)))
        };
        assert_eq!(token("mine", "p1"), "ok");
        assert!(token("other", "p2").ends_with("node requested token bound to a pod scheduled on a different node"));
        assert!(token("mine", "p2").contains("does not match the UID in record"));
        assert!(token("mine", "").ends_with("node requested token with a pod binding without a uid"));
    }

    #[test]
    fn leases_bear_the_name_of_the_node() {
        let lease = |namespace: &str, name: &str| {
            let lease = object(&format!(r#"{{"metadata":{{"name":"{name}"}}}}"#));
            let case = node(Case::create("leases.coordination.k8s.io", namespace));
            case.validate(validate, Some(&lease)).is_ok()
        };
        assert!(lease("kube-node-lease", "n1"));
        assert!(!lease("kube-node-lease", "n2"));
        assert!(!lease("kube-system", "n1"));
    }

    #[test]
    fn others_are_not_restricted() {
        let labels = object(r#"{"metadata":{"name":"n2","labels":{"node-restriction.kubernetes.io/a":"b"}}}"#);
        assert_eq!(Case::create("nodes", "").validate(validate, Some(&labels)), Ok(()));
    }
}
