//! The Node authorizer: a node reads what its own pods refer to, and writes what is its own.
//!
//! upstream: plugin/pkg/auth/authorizer/node. Instead of keeping a graph, each question is answered from
//! the pods of the node in the watch cache; those of one namespace, where the question names one.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use machinery::Object;
use machinery::selector::FieldSelector;

use super::references::{Kind, PodReferences, pv_secrets};
use super::rules::Rule;
use super::{Attributes, Authorizer, Decision};
use crate::policy;
use crate::view::{Resource, View};

const NODES_GROUP: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
const LEASE_NAMESPACE: &str = "kube-node-lease";

pub struct NodeAuthorizer {
    view: Arc<dyn View>,
    rules: Vec<Rule>,
}

impl NodeAuthorizer {
    pub fn new(view: Arc<dyn View>) -> Self {
        Self { view, rules: policy::node_rules() }
    }
}

impl Authorizer for NodeAuthorizer {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        let user = &attributes.user;
        if !user.in_group(NODES_GROUP) || !user.name.starts_with(NODE_PREFIX) {
            return no("");
        }
        let node = &user.name[NODE_PREFIX.len()..];
        if node.is_empty() {
            return no(format!("unknown node for user {:?}", user.name));
        }
        if !attributes.is_resource {
            return self.by_rules(attributes);
        }
        let question = Question { view: &*self.view, node, attributes };
        let special = match (attributes.api_group.as_str(), attributes.resource.as_str()) {
            ("", "secrets") => question.read(Kind::Secret),
            ("", "configmaps") => question.read(Kind::ConfigMap),
            ("", "persistentvolumeclaims") if attributes.subresource == "status" => question.claim_status(),
            ("", "persistentvolumeclaims") => question.get(Kind::Claim),
            ("", "persistentvolumes") => question.get_volume(),
            ("resource.k8s.io", "resourceclaims") => question.get(Kind::ResourceClaim),
            ("storage.k8s.io", "volumeattachments") => question.get_attachment(),
            ("", "serviceaccounts") => question.service_account(),
            ("coordination.k8s.io", "leases") => question.lease(),
            ("storage.k8s.io", "csinodes") => question.own("a CSINode", "CSINode"),
            ("resource.k8s.io", "resourceslices") => question.resource_slice(),
            ("certificates.k8s.io", "podcertificaterequests") => question.pod_certificate(),
            ("", "nodes") => question.node(),
            ("", "pods") => question.pod(),
            _ => Err(String::new()),
        };
        match special {
            Ok(()) => Decision::Allow(String::new()),
            Err(why) if why.is_empty() => self.by_rules(attributes),
            Err(why) => no(why),
        }
    }
}

impl NodeAuthorizer {
    fn by_rules(&self, attributes: &Attributes) -> Decision {
        if self.rules.iter().any(|rule| rule.allows(attributes)) { Decision::Allow(String::new()) } else { no("") }
    }
}

fn no(why: impl Into<String>) -> Decision {
    Decision::NoOpinion(why.into())
}

/// Allowed, or why not; without a reason the rules of `system:node` decide.
type Answer = Result<(), String>;

struct Question<'a> {
    view: &'a dyn View,
    node: &'a str,
    attributes: &'a Attributes,
}

impl Question<'_> {
    fn verb_in(&self, verbs: &[&str], why: &str) -> Answer {
        if verbs.contains(&self.attributes.verb.as_str()) { Ok(()) } else { Err(why.to_owned()) }
    }

    fn no_subresource(&self, why: &str) -> Answer {
        if self.attributes.subresource.is_empty() { Ok(()) } else { Err(why.to_owned()) }
    }

    fn read(&self, kind: Kind) -> Answer {
        self.verb_in(&["get", "list", "watch"], "can only read resources of this type")?;
        self.no_subresource("cannot read subresource")?;
        if self.attributes.namespace.is_empty() {
            return Err("can only read namespaced object of this type".to_owned());
        }
        self.related(kind)
    }

    fn get(&self, kind: Kind) -> Answer {
        self.only_get()?;
        self.related(kind)
    }

    fn only_get(&self) -> Answer {
        self.verb_in(&["get"], "can only get individual resources of this type")?;
        self.no_subresource("cannot get subresource")
    }

    fn claim_status(&self) -> Answer {
        self.verb_in(&["get", "update", "patch"], "can only get/update/patch this type")?;
        self.related(Kind::Claim)
    }

    /// Whether a pod of the node refers to the object.
    fn related(&self, kind: Kind) -> Answer {
        let Attributes { namespace, name, .. } = self.attributes;
        if name.is_empty() {
            return Err("No Object name found".to_owned());
        }
        let pods = self.view.pods_on(self.node, namespace);
        let references: Vec<PodReferences> = pods.iter().map(PodReferences::of).collect();
        let direct = references.iter().any(|of| of.holds(kind, name));
        if direct || (kind == Kind::Secret && self.secret_of_volume(&references, namespace, name)) {
            Ok(())
        } else {
            Err(self.unrelated())
        }
    }

    fn unrelated(&self) -> String {
        format!("no relationship found between node '{}' and this object", self.node)
    }

    /// Whether a volume bound to a claim of one of the pods names the secret.
    fn secret_of_volume(&self, pods: &[PodReferences], namespace: &str, name: &str) -> bool {
        pods.iter().flat_map(|of| of.names(Kind::Claim)).any(|claim| {
            let claim = self.view.get(Resource::PERSISTENT_VOLUME_CLAIMS, namespace, claim);
            let volume = claim.and_then(|claim| self.volume_of(&claim));
            volume.is_some_and(|volume| pv_secrets(&volume, namespace).any(|secret| secret == (namespace, name)))
        })
    }

    fn volume_of(&self, claim: &Object) -> Option<Object> {
        self.view.get(Resource::PERSISTENT_VOLUMES, "", claim.str(&["spec", "volumeName"]))
    }

    fn get_volume(&self) -> Answer {
        self.only_get()?;
        let volume = self.view.get(Resource::PERSISTENT_VOLUMES, "", &self.attributes.name);
        let related = volume.is_some_and(|volume| {
            let claim = volume.str(&["spec", "claimRef", "name"]);
            let pods = self.view.pods_on(self.node, volume.str(&["spec", "claimRef", "namespace"]));
            !claim.is_empty() && pods.iter().any(|pod| PodReferences::of(pod).holds(Kind::Claim, claim))
        });
        if related { Ok(()) } else { Err(self.unrelated()) }
    }

    fn get_attachment(&self) -> Answer {
        self.only_get()?;
        let attachment = self.view.get(Resource::VOLUME_ATTACHMENTS, "", &self.attributes.name);
        match attachment {
            Some(attachment) if attachment.str(&["spec", "nodeName"]) == self.node => Ok(()),
            _ => Err(self.unrelated()),
        }
    }

    fn service_account(&self) -> Answer {
        match (self.attributes.verb.as_str(), self.attributes.subresource.as_str()) {
            ("create", "token") | ("get", "") => self.related(Kind::ServiceAccount),
            ("create", _) => Err("can only create token subresource".to_owned()),
            ("get", _) => Err("cannot get subresource".to_owned()),
            _ => Err("can only create token or get serviceaccount for nodes".to_owned()),
        }
    }

    fn lease(&self) -> Answer {
        let verbs = ["get", "create", "update", "patch", "delete"];
        self.verb_in(&verbs, "can only get, create, update, patch, or delete a node lease")?;
        if self.attributes.namespace != LEASE_NAMESPACE {
            return Err(format!("can only access leases in the {LEASE_NAMESPACE:?} system namespace"));
        }
        // A lease has no name yet when it is created; admission looks at it then.
        if self.attributes.verb != "create" && self.attributes.name != self.node {
            return Err("can only access node lease with the same name as the requesting node".to_owned());
        }
        Ok(())
    }

    /// An object that bears the node's name.
    fn own(&self, article_kind: &str, kind: &str) -> Answer {
        let verbs = ["get", "create", "update", "patch", "delete"];
        self.verb_in(&verbs, &format!("can only get, create, update, patch, or delete {article_kind}"))?;
        self.no_subresource(&format!("cannot authorize {kind} subresources"))?;
        if self.attributes.verb != "create" && self.attributes.name != self.node {
            return Err(format!("can only access {kind} with the same name as the requesting node"));
        }
        Ok(())
    }

    fn resource_slice(&self) -> Answer {
        self.no_subresource("cannot authorize ResourceSlice subresources")?;
        match self.attributes.verb.as_str() {
            "get" | "update" | "patch" | "delete" => {
                let slice = self.view.get(Resource::RESOURCE_SLICES, "", &self.attributes.name);
                match slice {
                    Some(slice) if slice.str(&["spec", "nodeName"]) == self.node => Ok(()),
                    _ => Err(self.unrelated()),
                }
            }
            "create" => Ok(()),
            "list" | "watch" | "deletecollection" if self.selects("spec.nodeName") => Ok(()),
            "list" | "watch" | "deletecollection" => {
                Err("can only list/watch/deletecollection resourceslices with nodeName field selector".to_owned())
            }
            _ => Err(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
                 delete, deletecollection"
                    .to_owned(),
            ),
        }
    }

    fn node(&self) -> Answer {
        let reading = matches!(self.attributes.verb.as_str(), "get" | "list" | "watch");
        match self.attributes.name.as_str() {
            name if !reading || name == self.node => Err(String::new()),
            "" => Err(format!("node '{}' cannot read all nodes, only its own Node object", self.node)),
            name => Err(format!("node '{}' cannot read '{name}', only its own Node object", self.node)),
        }
    }

    fn pod(&self) -> Answer {
        match self.attributes.verb.as_str() {
            "get" if self.attributes.subresource.is_empty() || self.attributes.subresource == "status" => {
                let pod = self.view.get(Resource::PODS, &self.attributes.namespace, &self.attributes.name);
                match pod {
                    Some(pod) if pod.str(&["spec", "nodeName"]) == self.node => Ok(()),
                    _ => Err(self.unrelated()),
                }
            }
            "list" | "watch" if self.selects("spec.nodeName") => Ok(()),
            "list" | "watch" => Err("can only list/watch pods with spec.nodeName field selector".to_owned()),
            _ => Err(String::new()),
        }
    }

    /// What is asked for, admission looks at.
    fn pod_certificate(&self) -> Answer {
        self.no_subresource("nodes may not access the status subresource of PodCertificateRequests")?;
        match self.attributes.verb.as_str() {
            "create" => Ok(()),
            "get" => {
                let Attributes { namespace, name, .. } = self.attributes;
                match self.view.get(Resource::POD_CERTIFICATE_REQUESTS, namespace, name) {
                    Some(request) if request.str(&["spec", "nodeName"]) == self.node => Ok(()),
                    _ => Err(self.unrelated()),
                }
            }
            "list" | "watch" if self.selects("spec.nodeName") => Ok(()),
            "list" | "watch" => {
                Err("can only list/watch PodCertificateRequests with nodeName field selector".to_owned())
            }
            _ => {
                Err("only the following verbs are allowed for a PodCertificateRequest: create, get, list, watch"
                    .to_owned())
            }
        }
    }

    /// Whether the request is narrowed to this node by a field.
    fn selects(&self, field: &str) -> bool {
        let selector = FieldSelector::parse(&self.attributes.field_selector);
        selector.is_ok_and(|selector| selector.exact(field) == Some(self.node))
    }
}
